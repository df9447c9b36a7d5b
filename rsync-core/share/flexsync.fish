complete -c flexsync -l exclude -d 'Leave out files that match PATTERN, and delete none of them' -r
complete -c flexsync -l include -d 'Do not leave out files that match PATTERN; the first pattern that matches counts' -r
complete -c flexsync -l exclude-from -d 'Read patterns to exclude from FILE, one a line (behind -0: divided by NUL bytes); - is the standard input' -r
complete -c flexsync -l include-from -d 'Read patterns to include from FILE' -r
complete -c flexsync -s f -l filter -d 'Add a filter rule of rsync\'s: - + H S P R, ". FILE" to merge one, ": NAME" for one in each directory' -r
complete -c flexsync -l usermap -d 'Give files other owners: FROM:TO, divided by commas, each a name or a number; FROM may be a pattern or a range of numbers, too; implies --owner' -r
complete -c flexsync -l groupmap -d 'The same for groups; implies --group' -r
complete -c flexsync -l chown -d 'Give all files this owner and group, or one of them: the same as --usermap=*:USER --groupmap=*:GROUP' -r
complete -c flexsync -s M -l remote-option -d 'Have --fake-super, --super or --no-super for the receiving side alone' -r
complete -c flexsync -s B -l block-size -d 'Use blocks of SIZE bytes (at most 131072; K for KiB) for the delta algorithm' -r
complete -c flexsync -l out-format -d 'Show files as FORMAT says: %i changes, %n name, %L link, %l length, %o what is done, %f source, %b %c bytes, %C checksum, %M time, %B mode, %U %G owner, %t now, %p process' -r
complete -c flexsync -l log-file -d 'Append what is done to FILE, line by line with the time' -r
complete -c flexsync -l log-file-format -d 'Show files in the --log-file as FORMAT says, as with --out-format; not at all if it is empty' -r
complete -c flexsync -l explain -d 'Say why FILE, as it is called in SRC or below DST, would be transferred or would not be, and change nothing' -r
complete -c flexsync -l backup-dir -d 'Keep backups in DIR (below DST, unless it begins with a slash) and not beside the files; implies --backup' -r
complete -c flexsync -l suffix -d 'Append SUFFIX to the names of backups: ~ unless there is a --backup-dir' -r
complete -c flexsync -l partial-dir -d 'Keep such files in DIR (of each directory, unless it begins with a slash) instead, and make use of them the next time; implies --partial' -r
complete -c flexsync -l link-dest -d 'Make files hard links to those of DIR (below DST, unless it begins with a slash) that are just as wanted; may be given several times' -r
complete -c flexsync -l copy-dest -d 'Copy files that DST does not have from DIR if they are the same there' -r
complete -c flexsync -l compare-dest -d 'Leave out of DST what is just as wanted in DIR' -r
complete -c flexsync -s T -l temp-dir -d 'Make temporary files in DIR (below DST, unless it begins with a slash)' -r
complete -c flexsync -l checksum-choice -l cc -d 'Use the checksum NAME: auto, xxh128, xxh3, xxh64, md5, md4, sha1, or none, which transfers whole files; or NAME,NAME for transfers and for -c' -r
complete -c flexsync -l checksum-seed -d 'Begin the checksum of each block with NUM' -r
complete -c flexsync -l chmod -d 'Change the modes that files are copied with: as for chmod(1), with D for directories only, F for others; may be repeated' -r
complete -c flexsync -l info -d 'Show, or with a 0 behind the name do not show, what NAMES say, with commas between them: name, del, skip, stats2, progress2 and more, which help lists' -r
complete -c flexsync -l debug -d 'Show how it is done: deltasum (figures of the delta algorithm), deltasum2 (with what is found), deltasum3 (with each block\'s checksum), fuzzy (what --fuzzy finds), or help' -r
complete -c flexsync -l files-from -d 'Copy of SRC what FILE names, one a line (- is the standard input); implies -R and -d, and -a does not imply -r' -r
complete -c flexsync -l reflink -d 'Have whole files share blocks with their SRC: auto where the file system can (the default), always or else fail, or never' -r
complete -c flexsync -l bwlimit -d 'Send no more than RATE KiB a second (or M, G and so on), on average; 0 is no limit' -r
complete -c flexsync -l stop-after -l time-limit -d 'Stop after MINS minutes in good order, with exit status 30; another run completes it' -r
complete -c flexsync -l stop-at -d 'Stop at TIME, y-m-dTh:m or a part of it like 23:59' -r
complete -c flexsync -l timeout -d 'Accepted as rsync does: between local trees there is nobody to wait for' -r
complete -c flexsync -l max-size -d 'Leave files alone that are longer than SIZE bytes (K, M, G, T, P; KB and so on for 1000)' -r
complete -c flexsync -l min-size -d 'Leave files alone that are shorter than SIZE' -r
complete -c flexsync -l max-delete -d 'Delete no more than NUM files and directories; exit with 25 if there were more' -r
complete -c flexsync -s @ -l modify-window -d 'Take times for equal that differ by at most NUM whole seconds; -1 compares nanoseconds' -r
complete -c flexsync -l backend -d 'Who executes the system calls: auto, module, io_uring, threads or direct' -r
complete -c flexsync -l jobs -d 'Use up to N threads: two for the calls, where those are plain ones, and all to read a long old version and to search a file for what that has; unless given as many as there are CPUs' -r
complete -c flexsync -l stats-json -d 'Write the figures to FILE as one JSON object' -r
complete -c flexsync -s a -l archive -d 'Archive mode, the same as -rlptgoD'
complete -c flexsync -l no-archive
complete -c flexsync -s r -l recursive -d 'Descend into directories'
complete -c flexsync -l no-recursive
complete -c flexsync -s d -l dirs -d 'Make directories and do not descend into them, without --recursive'
complete -c flexsync -l no-dirs
complete -c flexsync -s R -l relative -d 'Make each SRC\'s whole path below DST, or what follows /./ in it'
complete -c flexsync -l no-relative
complete -c flexsync -l implied-dirs -d 'With --relative, make directories that lead to a SRC as they are there (the default); --no-implied-dirs leaves their attributes alone'
complete -c flexsync -l no-implied-dirs
complete -c flexsync -s m -l prune-empty-dirs -d 'Leave out directories that have nothing but directories in them'
complete -c flexsync -l no-prune-empty-dirs
complete -c flexsync -s l -l links -d 'Copy symbolic links as links; without it they are skipped'
complete -c flexsync -l no-links
complete -c flexsync -s L -l copy-links -d 'Copy what symbolic links point to'
complete -c flexsync -l no-copy-links
complete -c flexsync -l copy-unsafe-links -d 'Copy what symbolic links point to that lead out of the SRC'
complete -c flexsync -l no-copy-unsafe-links
complete -c flexsync -l safe-links -d 'Leave out symbolic links that lead out of the SRC'
complete -c flexsync -l no-safe-links
complete -c flexsync -l munge-links -d 'Take the prefix off symbolic links that a receiver has put there to make them safe'
complete -c flexsync -l no-munge-links
complete -c flexsync -s k -l copy-dirlinks -d 'Copy directories that symbolic links point to'
complete -c flexsync -l no-copy-dirlinks
complete -c flexsync -s K -l keep-dirlinks -d 'Take a symbolic link in DST for the directory in DST that it points to, where SRC has a directory'
complete -c flexsync -l no-keep-dirlinks
complete -c flexsync -s H -l hard-links -d 'Make files with several names files with several names'
complete -c flexsync -l no-hard-links
complete -c flexsync -s D -d 'The same as --devices --specials'
complete -c flexsync -l no-D
complete -c flexsync -l devices -d 'Copy devices as devices (superuser only); without it they are skipped'
complete -c flexsync -l no-devices
complete -c flexsync -l specials -d 'Copy named pipes and sockets as such; without it they are skipped'
complete -c flexsync -l no-specials
complete -c flexsync -s p -l perms -d 'Keep permissions'
complete -c flexsync -l no-perms
complete -c flexsync -s E -l executability -d 'Keep executability, without --perms'
complete -c flexsync -l no-executability
complete -c flexsync -s t -l times -d 'Keep times of modification'
complete -c flexsync -l no-times
complete -c flexsync -s U -l atimes -d 'Keep times of last access; -UU is the same as -U --open-noatime'
complete -c flexsync -l no-atimes
complete -c flexsync -l open-noatime -d 'Do not change times of last access by reading'
complete -c flexsync -l no-open-noatime
complete -c flexsync -s N -l crtimes -d 'Is refused, as by rsync: no Linux file system lets a time of creation be set'
complete -c flexsync -l no-crtimes
complete -c flexsync -s A -l acls -d 'Keep ACLs; turns --perms on'
complete -c flexsync -l no-acls
complete -c flexsync -s X -l xattrs -d 'Keep extended attributes, those of users or, for the superuser, all but the system\'s; -XX sends those that rsync keeps things in, too'
complete -c flexsync -l no-xattrs
complete -c flexsync -s O -l omit-dir-times -d 'Leave the times of directories alone'
complete -c flexsync -l no-omit-dir-times
complete -c flexsync -s J -l omit-link-times -d 'Leave the times of symbolic links alone'
complete -c flexsync -l no-omit-link-times
complete -c flexsync -s b -l backup -d 'Keep what is replaced or deleted, with the suffix ~'
complete -c flexsync -l no-backup
complete -c flexsync -s g -l group -d 'Keep groups: any for the superuser, else those you are a member of'
complete -c flexsync -l no-group
complete -c flexsync -s o -l owner -d 'Keep owners (superuser only)'
complete -c flexsync -l no-owner
complete -c flexsync -l super -d 'Try what only the superuser may do: owners, any groups, devices, extended attributes of all kinds; --no-super does not, and is for the superuser'
complete -c flexsync -l no-super
complete -c flexsync -l numeric-ids -d 'Owners and groups have no names for --usermap and --groupmap; between local trees they are always copied as numbers'
complete -c flexsync -l no-numeric-ids
complete -c flexsync -s n -l dry-run -d 'Change nothing, show what would be done'
complete -c flexsync -l no-dry-run
complete -c flexsync -s v -l verbose -d 'Name what is transferred, made and deleted'
complete -c flexsync -l no-verbose
complete -c flexsync -s q -l quiet -d 'Show errors only'
complete -c flexsync -l no-quiet
complete -c flexsync -l list-only -d 'List the SRCs and do nothing; no DST is needed'
complete -c flexsync -l no-list-only
complete -c flexsync -s i -l itemize-changes -d 'Show in what each file differed; -ii shows those that did not, too'
complete -c flexsync -l no-itemize-changes
complete -c flexsync -s c -l checksum -d 'Compare files of equal size by their contents, not their time'
complete -c flexsync -l no-checksum
complete -c flexsync -s u -l update -d 'Leave files alone that are newer at the destination'
complete -c flexsync -l no-update
complete -c flexsync -s I -l ignore-times -d 'Transfer files even if size and time agree'
complete -c flexsync -l no-ignore-times
complete -c flexsync -l size-only -d 'Take files of equal size for equal'
complete -c flexsync -l no-size-only
complete -c flexsync -l existing -l ignore-non-existing -d 'Make nothing that is not there yet'
complete -c flexsync -l no-existing
complete -c flexsync -l ignore-existing -d 'Leave files alone that are there'
complete -c flexsync -l no-ignore-existing
complete -c flexsync -s W -l whole-file -d 'Copy whole files (the default between local trees); --no-whole-file transfers differences'
complete -c flexsync -l no-whole-file
complete -c flexsync -s y -l fuzzy -d 'With --no-whole-file, transfer a new file as differences to one of DST\'s directory that has its size and time or a similar name; -yy looks in those of --link-dest and the like, too'
complete -c flexsync -l no-fuzzy
complete -c flexsync -l delete -d 'Delete what the source\'s directories do not have; nothing is deleted after a read error'
complete -c flexsync -l no-delete
complete -c flexsync -l delete-before -d '--delete, before anything is transferred'
complete -c flexsync -l no-delete-before
complete -c flexsync -l delete-during -l del -d '--delete, while files are transferred: a read error that comes later stops only what comes later'
complete -c flexsync -l no-delete-during
complete -c flexsync -l delete-delay -d '--delete, after all transfers, what is found meanwhile (the default)'
complete -c flexsync -l no-delete-delay
complete -c flexsync -l delete-after -d '--delete, after all transfers, what is found then'
complete -c flexsync -l no-delete-after
complete -c flexsync -l delete-excluded -d 'With what --delete deletes, delete what is excluded too'
complete -c flexsync -l no-delete-excluded
complete -c flexsync -l force -d 'Delete a directory, with all in it, where a file takes its place'
complete -c flexsync -l no-force
complete -c flexsync -l ignore-errors -d 'Delete even after a read error'
complete -c flexsync -l no-ignore-errors
complete -c flexsync -l remove-source-files -d 'Remove files of the source, but no directories, once the destination has them'
complete -c flexsync -l no-remove-source-files
complete -c flexsync -l ignore-missing-args -d 'Leave each SRC out that does not exist, without an error'
complete -c flexsync -l no-ignore-missing-args
complete -c flexsync -l delete-missing-args -d 'Delete at DST what SRCs name that do not exist'
complete -c flexsync -l no-delete-missing-args
complete -c flexsync -l mkpath -d 'Make what is missing of DST\'s path'
complete -c flexsync -l no-mkpath
complete -c flexsync -l inplace -d 'Write changes into the files themselves; one whose transfer ends early is neither old nor new'
complete -c flexsync -l no-inplace
complete -c flexsync -s S -l sparse -d 'Leave holes where a file has zeros'
complete -c flexsync -l no-sparse
complete -c flexsync -l preallocate -d 'Have room for all of a file on the disk before it is written'
complete -c flexsync -l no-preallocate
complete -c flexsync -l append -d 'Append to shorter files what the source has more, and leave others alone that are there'
complete -c flexsync -l no-append
complete -c flexsync -l append-verify -d 'Like --append, and transfer a file anew if what was there differs from the source'
complete -c flexsync -l no-append-verify
complete -c flexsync -l partial -d 'Keep what has come of a file when the run is stopped or the file fails, in its place'
complete -c flexsync -l no-partial
complete -c flexsync -l delay-updates -d 'Put all files in their places at the end; until then they are in .~tmp~ or the --partial-dir'
complete -c flexsync -l no-delay-updates
complete -c flexsync -l fsync -d 'Have each file on the disk before it gets its name'
complete -c flexsync -l no-fsync
complete -c flexsync -s 0 -l from0 -d 'Files of names, and those of filter rules that are named behind this, have NUL bytes instead of line ends'
complete -c flexsync -l no-from0
complete -c flexsync -s h -l human-readable -d 'Show numbers with units, of 1000 and given twice of 1024; --no-h shows digits only'
complete -c flexsync -l no-human-readable
complete -c flexsync -l progress -d 'Show how far it has come after each file; --info=progress2 shows it for all'
complete -c flexsync -l no-progress
complete -c flexsync -s P -d 'The same as --partial --progress'
complete -c flexsync -l no-P
complete -c flexsync -l json -d 'Show each event as a JSON object on a line, for programs, and nothing else; with --info=progress also how far it has come'
complete -c flexsync -l no-json
complete -c flexsync -l stats -d 'Show figures at the end'
complete -c flexsync -l no-stats
complete -c flexsync -s F -d 'Read rules from .rsync-filter in each directory; -FF leaves those files out'
complete -c flexsync -s C -l cvs-exclude -d 'Leave out what CVS leaves out, .cvsignore in each directory included'
complete -c flexsync -l fake-super -d 'Keep what only the superuser may set in extended attributes, and read what was kept so; overridden by --super and --no-super'
complete -c flexsync -l no-8-bit-output
complete -c flexsync -l no-blocking-io
complete -c flexsync -l no-compress
complete -c flexsync -l no-contimeout
complete -c flexsync -l no-iconv
complete -c flexsync -l no-insecure-links
complete -c flexsync -l no-msgs2stderr
complete -c flexsync -l no-old-args
complete -c flexsync -l no-secluded-args
complete -c flexsync -l inc-recursive
complete -c flexsync -l no-inc-recursive
complete -c flexsync -l no-bwlimit
complete -c flexsync -l no-timeout
complete -c flexsync -s x -l one-file-system -d 'Do not go into other file systems below a SRC; -xx leaves out their directories too'
complete -c flexsync -l no-one-file-system
complete -c flexsync -l help -d 'Show this help'
complete -c flexsync -s V -l version -d 'Print version'
