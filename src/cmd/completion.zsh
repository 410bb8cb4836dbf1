#compdef hakmem
# zsh completion for hakmem(1): commands and options come from its --help.

_hakmem_commands() {
	local -a commands
	commands=(${(f)"$(_call_program commands hakmem --help 2>/dev/null |
		sed -n 's/^  \([a-z][a-z]*\)  *\(.*\)/\1:\2/p')"} --help:'list the commands' --version:'show the version')
	_describe -t commands 'hakmem command' commands
}

_hakmem_profiles() {
	local -a profiles
	profiles=(${(f)"$(_call_program profiles hakmem profiles 2>/dev/null | sed 's/^\([^ ]*\)  */\1:/')"})
	_describe -t profiles profile profiles
}

# command...: lists the settings.
_hakmem_settings_of() {
	local -a settings
	settings=(${(f)"$(_call_program settings $* 2>/dev/null | sed 's/ .*//')"})
	if compset -P '*='; then
		_message value
	else
		compadd -S = -a settings
	fi
}

_hakmem_settings() { _hakmem_settings_of hakmem config }
_hakmem_changeable() { _hakmem_settings_of hakmem set --names }

# The options of a command, as specifications for _arguments, in the array specs.
_hakmem_specs() {
	local line short long value help action
	local -a match mbegin mend
	specs=()
	for line in ${(f)"$(_call_program options hakmem $1 --help 2>/dev/null)"}; do
		[[ $line =~ '^  (-([a-zA-Z]),|   ) --([a-z-]+) ([^ ]*) +(.*)$' ]] || continue
		short=$match[2] long=$match[3] value=$match[4] help=${match[5]//[\]\[:]/ }
		case $long in
		profile) action=_hakmem_profiles ;;
		profiles) action='_sequence _hakmem_profiles' ;;
		set) action=_hakmem_settings ;;
		load | prepare) action=_cmdstring ;;
		sort) action='(memory rss growth slow pid)' ;;
		format) action='(table json flame folded pprof text)' ;;
		*) if [[ $value == FILE ]]; then action=_files; else action=' '; fi ;;
		esac
		value=${value:+:${value//:/ }:$action}
		if [[ -n $short && -n $value ]]; then
			specs+=("*-${short}+[$help]$value")
		elif [[ -n $short ]]; then
			specs+=("-${short}[$help]")
		fi
		if [[ -n $value ]]; then
			specs+=("*--${long}=[$help]$value")
		else
			specs+=("--${long}[$help]")
		fi
	done
}

_hakmem() {
	local command=$words[2]
	local -i before=${words[(i)--]}
	local -a specs
	if (( CURRENT == 2 )); then
		_hakmem_commands
		return
	fi
	# _call_program evaluates its arguments: '$(command)' would be executed.
	[[ $command == *[^a-z]* ]] && return 1
	# After --, complete the words of the program that is started.
	if [[ $command == (run|compare|check) ]] && (( before < CURRENT )); then
		shift $before words
		(( CURRENT -= before ))
		_normal
		return
	fi
	shift words
	(( CURRENT-- ))
	_hakmem_specs $command
	case $command in
	run | compare) specs+=('(-)1:program: _command_names -e' '*::argument:_normal') ;;
	check | config | trim) specs+=('1:process:_pids') ;;
	profile) specs+=('1:process or file:{ _pids; _files }') ;;
	stats) specs+=('*:process:_pids') ;;
	set) specs+=('1:process:_pids' '*:setting:_hakmem_changeable') ;;
	show) specs+=('1:profile:_hakmem_profiles') ;;
	diff) specs+=('1:profile:_hakmem_profiles' '2:profile:_hakmem_profiles') ;;
	lint) specs+=('*:file:_files') ;;
	esac
	_arguments -s : $specs
}

_hakmem "$@"
