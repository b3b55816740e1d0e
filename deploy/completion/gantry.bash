# bash completion for gantry(1)

_gantry_nodes() { # names of the nodes that the system here knows, if one is up
    gantry nodes --timeout 500ms 2>/dev/null | sed -n 's/^\([a-z0-9_]*\.[a-z0-9_]*\)  .*/\1/p'
}

_gantry() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    local verbs="up submit create show wait list why cancel delete dead events cron pause resume drain undrain ledger audit disk status workers"
    verbs+=" queues nodes migrate help"
    local common="--data --broker --timeout --json --no-color --help" flags
    local filter="--service --task --since --until --limit"
    COMPREPLY=()

    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$word")
        return
    fi
    case $before in
        --data | -d | --input-root | --from | --to) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --priority | -p) mapfile -t COMPREPLY < <(compgen -W "high normal low" -- "$word"); return ;;
        --state | -s)
            mapfile -t COMPREPLY < <(compgen -W "scheduled pending running completed failed cancelled ended dead" -- "$word")
            return ;;
        --reuse) mapfile -t COMPREPLY < <(compgen -W "name input never" -- "$word"); return ;;
        --input | -i) mapfile -t COMPREPLY < <(compgen -f -P @ -- "${word#@}"); return ;;
        --broker | -b | --timeout | -t | --limit | -n | --id | --service | --services | --workers | --slots | \
            --http | --set | --ready-fd | --callback | --delay | --at | --start-within | --end-within | --failures | --crashes | \
            --retry | --owner | --since | --until | --after | --status) return ;;
        --zone) mapfile -t COMPREPLY < <(compgen -W "$(cd /usr/share/zoneinfo 2>/dev/null && echo */*)" -- "$word"); return ;;
        --task) mapfile -t COMPREPLY < <(compgen -W "$(_gantry_nodes)" -- "$word"); return ;;
    esac
    case $verb in
        up) flags="--input-root --services --workers --slots --http --fused --set --ready-fd --data --timeout --no-color --help" ;;
        submit)
            flags="--id --input --priority --limit --delay --at --start-within --end-within --failures --crashes --retry"
            flags+=" --owner --callback --reuse --force --wait --progress --quiet $common" ;;
        create) flags="--wait --progress --quiet $common" ;;
        show) flags="--follow $common" ;;
        wait) flags="--progress --quiet $common" ;;
        list) flags="--state $filter $common" ;;
        cancel) flags="--state $filter --all --dry-run $common" ;;
        delete) flags="--force $common" ;;
        dead) flags="$filter --all --dry-run $common" ;;
        events) flags="--service --limit --follow --after $common" ;;
        disk) flags="--limit --measure $common" ;;
        cron) flags="--input --priority --limit --zone $common" ;;
        drain | undrain) flags="--status $common" ;;
        migrate) flags="--from --to --back --dry-run --quiet --data --json --no-color --help" ;;
        help) flags="--help" ;;
        *) flags=$common ;;
    esac
    case $verb:$word in
        *:-*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word") ;;
        help:*) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word") ;;
        dead:*) [ "$COMP_CWORD" = 2 ] && mapfile -t COMPREPLY < <(compgen -W "ls show replay purge" -- "$word") ;;
        migrate:*) [ "$COMP_CWORD" = 2 ] && mapfile -t COMPREPLY < <(compgen -W "single_tasks" -- "$word") ;;
        create:*) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        cron:*) [ "$COMP_CWORD" = 2 ] && mapfile -t COMPREPLY < <(compgen -W "ls set rm" -- "$word") ;;
        submit:* | nodes:*)
            [ "$COMP_CWORD" = 2 ] && mapfile -t COMPREPLY < <(compgen -W "$(_gantry_nodes)" -- "$word")
            [ "$COMP_CWORD" != 2 ] && mapfile -t COMPREPLY < <(compgen -f -- "${word#*=}") ;;
    esac
}
complete -F _gantry gantry
