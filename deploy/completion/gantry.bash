# bash completion for gantry(1)

_gantry_nodes() { # names of the nodes that the system here knows, if one is up
    gantry nodes --timeout 500ms 2>/dev/null | sed -n 's/^\([a-z0-9_]*\.[a-z0-9_]*\)  .*/\1/p'
}

_gantry() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    local verbs="up submit show wait list cancel status workers queues nodes help"
    local common="--data --broker --timeout --json --no-color --help" flags
    COMPREPLY=()

    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$word")
        return
    fi
    case $before in
        --data | -d | --input-root) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --priority | -p) mapfile -t COMPREPLY < <(compgen -W "high normal low" -- "$word"); return ;;
        --state | -s)
            mapfile -t COMPREPLY < <(compgen -W "pending running completed failed cancelled ended" -- "$word")
            return ;;
        --input | -i) mapfile -t COMPREPLY < <(compgen -f -P @ -- "${word#@}"); return ;;
        --broker | -b | --timeout | -t | --limit | -n | --id | --service | --services | --workers | --slots | \
            --set | --ready-fd | --callback) return ;;
    esac
    case $verb in
        up) flags="--input-root --services --workers --slots --set --ready-fd --data --timeout --no-color --help" ;;
        submit) flags="--id --input --priority --limit --callback --wait --progress --quiet $common" ;;
        wait) flags="--progress --quiet $common" ;;
        list) flags="--state --service --limit $common" ;;
        help) flags="--help" ;;
        *) flags=$common ;;
    esac
    case $verb:$word in
        *:-*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word") ;;
        help:*) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word") ;;
        submit:* | nodes:*)
            [ "$COMP_CWORD" = 2 ] && mapfile -t COMPREPLY < <(compgen -W "$(_gantry_nodes)" -- "$word")
            [ "$COMP_CWORD" != 2 ] && mapfile -t COMPREPLY < <(compgen -f -- "${word#*=}") ;;
    esac
}
complete -F _gantry gantry
