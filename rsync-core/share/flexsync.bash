_flexsync() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="flexsync"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        flexsync)
            opts="-a -r -d -R -m -l -L -k -K -H -D -p -E -t -U -N -A -X -O -J -b -g -o -n -v -q -i -c -u -I -W -y -S -0 -h -P -f -F -C -M -B -T -@ -x -V --archive --no-archive --recursive --no-recursive --dirs --no-dirs --relative --no-relative --implied-dirs --no-implied-dirs --prune-empty-dirs --no-prune-empty-dirs --links --no-links --copy-links --no-copy-links --copy-unsafe-links --no-copy-unsafe-links --safe-links --no-safe-links --munge-links --no-munge-links --copy-dirlinks --no-copy-dirlinks --keep-dirlinks --no-keep-dirlinks --hard-links --no-hard-links --no-D --devices --no-devices --specials --no-specials --perms --no-perms --executability --no-executability --times --no-times --atimes --no-atimes --open-noatime --no-open-noatime --crtimes --no-crtimes --acls --no-acls --xattrs --no-xattrs --omit-dir-times --no-omit-dir-times --omit-link-times --no-omit-link-times --backup --no-backup --group --no-group --owner --no-owner --super --no-super --numeric-ids --no-numeric-ids --dry-run --no-dry-run --verbose --no-verbose --quiet --no-quiet --list-only --no-list-only --itemize-changes --no-itemize-changes --checksum --no-checksum --update --no-update --ignore-times --no-ignore-times --size-only --no-size-only --ignore-non-existing --existing --no-existing --ignore-existing --no-ignore-existing --whole-file --no-whole-file --fuzzy --no-fuzzy --delete --no-delete --delete-before --no-delete-before --del --delete-during --no-delete-during --delete-delay --no-delete-delay --delete-after --no-delete-after --delete-excluded --no-delete-excluded --force --no-force --ignore-errors --no-ignore-errors --remove-source-files --no-remove-source-files --ignore-missing-args --no-ignore-missing-args --delete-missing-args --no-delete-missing-args --mkpath --no-mkpath --inplace --no-inplace --sparse --no-sparse --preallocate --no-preallocate --append --no-append --append-verify --no-append-verify --partial --no-partial --delay-updates --no-delay-updates --fsync --no-fsync --from0 --no-from0 --human-readable --no-human-readable --progress --no-progress --no-P --json --no-json --stats --no-stats --exclude --include --exclude-from --include-from --filter --cvs-exclude --usermap --groupmap --chown --fake-super --remote-option --no-8-bit-output --no-blocking-io --no-compress --no-contimeout --no-iconv --no-insecure-links --no-msgs2stderr --no-old-args --no-secluded-args --inc-recursive --no-inc-recursive --block-size --out-format --log-file --log-file-format --explain --backup-dir --suffix --partial-dir --link-dest --copy-dest --compare-dest --temp-dir --cc --checksum-choice --checksum-seed --chmod --info --debug --files-from --reflink --bwlimit --no-bwlimit --time-limit --stop-after --stop-at --timeout --no-timeout --max-size --min-size --max-delete --modify-window --one-file-system --no-one-file-system --backend --jobs --stats-json --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --exclude)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --include)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --exclude-from)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --include-from)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -f)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --usermap)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --groupmap)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --chown)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --remote-option)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -M)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --block-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -B)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --out-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log-file-format)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --explain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --backup-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --suffix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --partial-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --link-dest)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --copy-dest)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --compare-dest)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --temp-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -T)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --checksum-choice)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --checksum-seed)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --chmod)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --info)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --debug)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --files-from)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --reflink)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --bwlimit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stop-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --time-limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stop-at)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-delete)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --modify-window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -@)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --backend)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --jobs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stats-json)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _flexsync -o nosort -o bashdefault -o default flexsync
else
    complete -F _flexsync -o bashdefault -o default flexsync
fi
