# fish completion for hakmem(1): commands and options come from its --help.

function __hakmem_command
    set -l words (commandline -opc)
    test (count $words) -ge 2; and echo $words[2]
end

function __hakmem_is
    contains -- (__hakmem_command) $argv
end

# After --, or after the options, complete the words of the program that is started.
function __hakmem_starts_program
    __hakmem_is run compare; or begin
        __hakmem_is check; and contains -- -- (commandline -opc)
    end
end

function __hakmem_program
    set -l words (commandline -opc)
    if set -l at (contains -i -- -- $words)
        set -e words[1..$at]
        complete -C "$(string join ' ' -- (string escape -- $words) (commandline -ct))"
    else
        __fish_complete_subcommand --fcs-skip=2
    end
end

function __hakmem_profiles
    hakmem profiles 2>/dev/null | string replace -r '^(\S+)\s+' '$1\t'
end

function __hakmem_settings
    hakmem config 2>/dev/null | string replace -r ' .*' '='
end

function __hakmem_changeable
    hakmem set --names 2>/dev/null | string replace -r '$' '='
end

# The options of a command: each is a line of its --help.
function __hakmem_options
    for line in (hakmem $argv[1] --help 2>/dev/null)
        set -l found (string match -r '^  (...) --([a-z-]+) (\S*)\s+(.*)$' -- $line)
        or continue
        set -l option -l $found[3] -d $found[5]
        set -l short (string match -r '[a-zA-Z]' -- $found[2])
        and set -a option -s $short
        if test -n "$found[4]"
            switch $found[3]
                case profile profiles
                    set -a option -x -a '(__hakmem_profiles)'
                case set
                    set -a option -x -a '(__hakmem_settings)'
                case sort
                    set -a option -x -a 'memory rss growth slow pid'
                case format
                    set -a option -x -a 'table json flame folded pprof text'
                case '*'
                    test $found[4] = FILE; and set -a option -r -F; or set -a option -x
            end
        end
        complete -c hakmem -n "__hakmem_is $argv[1]" $option
    end
end

complete -c hakmem -f
complete -c hakmem -n 'not __hakmem_command' -l help -d 'list the commands'
complete -c hakmem -n 'not __hakmem_command' -l version -d 'show the version'
for line in (hakmem --help 2>/dev/null)
    set -l found (string match -r '^  ([a-z]+)\s+(.*)$' -- $line)
    or continue
    complete -c hakmem -n 'not __hakmem_command' -a $found[2] -d $found[3]
    __hakmem_options $found[2]
end
complete -c hakmem -n __hakmem_starts_program -a '(__hakmem_program)'
complete -c hakmem -n '__hakmem_is check stats set trim config profile; and not __hakmem_starts_program' -a '(__fish_complete_pids)'
complete -c hakmem -n '__hakmem_is set; and test (count (commandline -opc)) -gt 2' -a '(__hakmem_changeable)'
complete -c hakmem -n '__hakmem_is show diff' -a '(__hakmem_profiles)' -F
complete -c hakmem -n '__hakmem_is lint profile' -F
