# bash completion for hakmem(1)

# With -o filenames the shell quotes file names: a file may be named '$(command)'.
_hakmem_files()
{
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen "$@")
}

_hakmem()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} i
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W "$(hakmem --help | awk '/^  / { print $1 }') --help --version" -- "$cur"))
		return
	fi
	# After --, or after the options, complete the words of the program that is started.
	case $command in
	run | compare | check)
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [[ ${COMP_WORDS[i]} == -- ]] && declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
				return
			fi
		done ;;
	esac
	case $prev in
	-p | --profile | --profiles)
		COMPREPLY=($(compgen -W "$(hakmem profiles --names)" -- "$cur"))
		return ;;
	-s | --set)
		COMPREPLY=($(compgen -S = -W "$(hakmem config | awk '{ print $1 }')" -- "$cur"))
		compopt -o nospace
		return ;;
	--format)
		COMPREPLY=($(compgen -W "table json flame folded pprof text" -- "$cur"))
		return ;;
	--sort)
		COMPREPLY=($(compgen -W "memory rss growth slow pid" -- "$cur"))
		return ;;
	-f | --file | -o | --plot | --export-markdown | --output | --library | --base | --suppressions)
		_hakmem_files -f -- "$cur"
		return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$(hakmem "$command" --help 2>/dev/null | sed -n 's/^  ... \(--[a-z-]*\) .*/\1/p')" -- "$cur"))
		return
	fi
	case $command in
	show | diff) _hakmem_files -W "$(hakmem profiles --names)" -f -- "$cur" ;;
	lint) _hakmem_files -f -- "$cur" ;;
	check | stats | trim | config) COMPREPLY=($(compgen -W "$(ps -eo pid= 2>/dev/null)" -- "$cur")) ;;
	set)
		if [[ $prev =~ ^[0-9]+$ || $prev == *=* || $prev == = ]]; then
			COMPREPLY=($(compgen -S = -W "$(hakmem set --names)" -- "$cur"))
			compopt -o nospace
		else
			COMPREPLY=($(compgen -W "$(ps -eo pid= 2>/dev/null)" -- "$cur"))
		fi ;;
	profile)
		_hakmem_files -f -- "$cur"
		COMPREPLY+=($(compgen -W "$(ps -eo pid= 2>/dev/null)" -- "$cur")) ;;
	run | compare) _hakmem_files -c -- "$cur" ;;
	esac
}
complete -F _hakmem hakmem
