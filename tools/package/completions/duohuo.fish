# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_duohuo_global_optspecs
    string join \n h/help V/version
end

function __fish_duohuo_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_duohuo_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_duohuo_using_subcommand
    set -l cmd (__fish_duohuo_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c duohuo -n "__fish_duohuo_needs_command" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_needs_command" -s V -l version -d 'Print version'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "authority" -d 'Run the authority: it decides which node of each cluster may act, and forgets no decision'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "node" -d 'Run a node: a member of a cluster, which follows, stands by or acts for it'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "keeper" -d 'Run the programs of a node\'s hooks: started by the node itself, which speaks to it'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "demo" -d 'Start a whole network on this machine, break it in every way the patent names, and check that nothing is lost'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "status" -d 'Show who is master, standby and in sync, and how far each ledger is'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "neighbours" -d 'Show who hears whom inside each cluster, each direction for itself'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "watch" -d 'Print what happens, as one JSON object a line, until interrupted'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "wait" -d 'Wait until a network is in a state'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "check" -d 'Judge the network for a supervisor (Nagios, Icinga): one line, figures behind the bar'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "config" -d 'Make, check, show and compare configurations; nothing of it touches a running process'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "control" -d 'Speak to a node or the authority on this machine: read its files again, stop it, hold a drill; it logs who and why'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "submit" -d 'Submit a transfer and wait until it is committed; submitting it again under the same id is harmless'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "ledger" -d 'Show accounts and blocks, prove a store, write the chain out'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "history" -d 'Show what the authority decided, when, why and by whose order, and how long each switch took; the record is verified'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "drill" -d 'Rehearse a takeover: each standby goes the way of a real one, up to its first vote, which is thrown away; nothing is changed'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "switchover" -d 'Hand a cluster over to another node without missing a commit'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "failover" -d 'Make a node master although the whole in-sync set of its cluster is lost; what only that set knew is lost with it'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "unbar" -d 'Let a node lead again that was barred after a wrong result'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "pause" -d 'Suspend automatic switches, of one cluster or of all; orders are still carried out'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "resume" -d 'End a pause: of the same cluster, or the one of all'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "keygen" -d 'Make keys, signed rosters and configurations'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "layout" -d 'Judge where nodes stand: which rooms may be lost and which links cut, who may then act, and why'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "roster" -d 'Begin a network, and show and change who belongs to it, while it runs'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "setup" -d 'Set this machine up from a pack: its files go to /etc/duohuo, and the store is made; once in the life of a machine'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "store" -d 'Make the store of a process before its very first start; back up and restore the chain that a node holds'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "docs" -d 'Write the man pages and completions'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "decode" -d 'Show packets with the names of the specification: from hexadecimal text, a file or a capture'
complete -c duohuo -n "__fish_duohuo_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand authority" -l config -d 'Its configuration file, as keygen network writes it; paths in it are relative to it' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand authority" -l init -d 'Very first start: make the store; refused if there is one already'
complete -c duohuo -n "__fish_duohuo_using_subcommand authority" -l exit-with-parent -d 'Exit when standard input ends: for a parent that wants its children gone with it'
complete -c duohuo -n "__fish_duohuo_using_subcommand authority" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand node" -l config -d 'Its configuration file, as keygen network writes it; paths in it are relative to it' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand node" -l init -d 'Very first start: make the store; refused if there is one already'
complete -c duohuo -n "__fish_duohuo_using_subcommand node" -l exit-with-parent -d 'Exit when standard input ends: for a parent that wants its children gone with it'
complete -c duohuo -n "__fish_duohuo_using_subcommand node" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keeper" -l json -d 'As in `[log]` of the node\'s configuration'
complete -c duohuo -n "__fish_duohuo_using_subcommand keeper" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -l scenario -d 'Which faults' -r -f -a "tour\t'All steps, under a minute'
master-fails\t'kill -9 the master of A (REC-1)'
master-and-standby-fail\t'kill -9 master and standby of B together (REC-2)'
wrong-result\t'The master of C computes wrong balances (REC-3)'
rooms-fail\t'Rooms 3 and 4 go dark, then one more (DEP-2, DEP-3)'
nodes-added\t'One node more per cluster, added while running; then any three rooms go dark (DEP-4)'
authority-fails\t'The authority goes away and comes back (P4)'
two-companies\t'Two rooms, four clusters of two nodes; one room goes dark (DEP-1)'"
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -l keepalive-interval-ms -d 'Milliseconds between keepalives, 1..=10000' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -l repeat -d 'Kill so many masters one after the other, 1..=1000 (scenario master-fails)' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -l keep -d 'Afterwards leave the network running until Ctrl-C, and print how to look at it'
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -l json -d 'Print one JSON object per event, the summary last'
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -l keep-files -d 'Keep keys, stores and logs in their temporary directory; they are kept anyway if something fails'
complete -c duohuo -n "__fish_duohuo_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -s o -l output -d 'How to print: a table; one JSON object, with the counters of discarded input too; or lines of columns with tabs' -r -f -a "table\t'For people'
json\t'One object, with the number of its schema'
tsv\t'For scripts: tabs between the columns, names in the first line'"
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -l timeout -d 'Seconds to wait for each answer; all are asked at the same time' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -l json -d 'The same as --output json'
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -s w -l watch -d 'Again every second, until interrupted'
complete -c duohuo -n "__fish_duohuo_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand neighbours" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand neighbours" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand neighbours" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand neighbours" -l timeout -d 'Seconds to wait for each answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand neighbours" -l versions -d 'Which version of the wire each process speaks with whom, instead: what an upgrade came to'
complete -c duohuo -n "__fish_duohuo_using_subcommand neighbours" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -l only -d 'Only these kinds, by name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -l count -d 'End after so many lines' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -l all -d 'Every signed word and every block too: some thousand lines a second'
complete -c duohuo -n "__fish_duohuo_using_subcommand watch" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -l node -d 'About this node, by name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -l cluster -d 'About this cluster only, by name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -l timeout -d 'Seconds' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand check" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand check" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand check" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand check" -l lag -d 'Warn when a node is so many blocks behind the highest' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand check" -l timeout -d 'Seconds to wait for each answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand check" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and not __fish_seen_subcommand_from init check show diff help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and not __fish_seen_subcommand_from init check show diff help" -f -a "init" -d 'Print a complete configuration with a line about each key'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and not __fish_seen_subcommand_from init check show diff help" -f -a "check" -d 'Read a configuration and every file that it names, as a start would'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and not __fish_seen_subcommand_from init check show diff help" -f -a "show" -d 'Print what a configuration says, one key a line'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and not __fish_seen_subcommand_from init check show diff help" -f -a "diff" -d 'Compare two configurations, defaults included'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and not __fish_seen_subcommand_from init check show diff help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from init" -l node -d 'The node\'s number in the roster' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from init" -l operator-public-key -d 'operator.pub' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from init" -l out -d 'Write it there; never over a file that is there' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from init" -l hooks -d 'Of a node that runs an existing service by programs, in the place of the embedded chain'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from show" -l effective -d 'The defaults of all other keys too, and the spans that follow from the keepalive interval'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "init" -d 'Print a complete configuration with a line about each key'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Read a configuration and every file that it names, as a start would'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print what a configuration says, one key a line'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Compare two configurations, defaults included'
complete -c duohuo -n "__fish_duohuo_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -l config -d 'The process\'s configuration, which names control.socket' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -l socket -d 'The socket itself, for who may not read the configuration' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -f -a "state" -d 'Who it is, its role and epoch, and whether it acts; changes nothing'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -f -a "reload" -d 'Read its configuration and the roster again, as SIGHUP; fails if they cannot be used'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -f -a "stop" -d 'Stop it in good order, as SIGTERM: a master resigns'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -f -a "wrong-results" -d 'A drill: compute wrong results from now on, or no longer; where its configuration allows drills'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and not __fish_seen_subcommand_from state reload stop wrong-results help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from state" -l config -d 'The process\'s configuration, which names control.socket' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from state" -l socket -d 'The socket itself, for who may not read the configuration' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from state" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from reload" -l why -d 'Why; it stands in the log of the process with who you are, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from reload" -l config -d 'The process\'s configuration, which names control.socket' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from reload" -l socket -d 'The socket itself, for who may not read the configuration' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from stop" -l why -d 'Why; it stands in the log of the process with who you are, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from stop" -l config -d 'The process\'s configuration, which names control.socket' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from stop" -l socket -d 'The socket itself, for who may not read the configuration' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from wrong-results" -l why -d 'Why; it stands in the log of the process with who you are, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from wrong-results" -l config -d 'The process\'s configuration, which names control.socket' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from wrong-results" -l socket -d 'The socket itself, for who may not read the configuration' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from wrong-results" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from help" -f -a "state" -d 'Who it is, its role and epoch, and whether it acts; changes nothing'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from help" -f -a "reload" -d 'Read its configuration and the roster again, as SIGHUP; fails if they cannot be used'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop it in good order, as SIGTERM: a master resigns'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from help" -f -a "wrong-results" -d 'A drill: compute wrong results from now on, or no longer; where its configuration allows drills'
complete -c duohuo -n "__fish_duohuo_using_subcommand control; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l from -d 'The account that pays' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l to -d 'The account that is paid' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l amount -d 'How much, in the ledger\'s smallest unit' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l id -d 'The transfer\'s id, 32 hex digits; the same id is carried out at most once [default: random]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l valid-for -d 'Blocks from now in which the transfer may be committed, 1..=1000' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -l timeout -d 'Seconds to wait in all' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand submit" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and not __fish_seen_subcommand_from account block verify export help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and not __fish_seen_subcommand_from account block verify export help" -f -a "account" -d 'What an account holds, as nodes of several clusters say'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and not __fish_seen_subcommand_from account block verify export help" -f -a "block" -d 'A committed block, after its certificate was verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and not __fish_seen_subcommand_from account block verify export help" -f -a "verify" -d 'Prove the store of a node that is stopped: from the genesis or from a proven snapshot, block by block, against the certificates and what the authority signed'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and not __fish_seen_subcommand_from account block verify export help" -f -a "export" -d 'Write committed blocks as JSON, one a line, each verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and not __fish_seen_subcommand_from account block verify export help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from account" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from account" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from account" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from account" -l timeout -d 'Seconds to wait for an answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from account" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from block" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from block" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from block" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from block" -l timeout -d 'Seconds to wait for an answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from block" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l node -d 'The configuration of the node whose store it is' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l timeout -d 'Seconds to wait for an answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -l from -d 'The first height' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -l to -d 'The last height [default: all there are]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -l timeout -d 'Seconds to wait for an answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "account" -d 'What an account holds, as nodes of several clusters say'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "block" -d 'A committed block, after its certificate was verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Prove the store of a node that is stopped: from the genesis or from a proven snapshot, block by block, against the certificates and what the authority signed'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write committed blocks as JSON, one a line, each verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -l acts -d 'Also what was done to this process on this machine: the configuration of a node or of the authority; can be given again' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -s o -l output -d 'A table, or one JSON object with a schema number' -r -f -a "table\t''
json\t''"
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -l seen -d 'Refuse a history that is not the one noted in this file grown longer; then note how far it is now. A new file is made' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -l timeout -d 'Seconds to wait for the authority' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand history" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -l rounds -d 'How often each standby rehearses; the slowest counts' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -s o -l output -d 'How to print it' -r -f -a "table\t'For people'
json\t'One object, with the number of its schema'"
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -l timeout -d 'Seconds to wait for each answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand drill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l to -d 'Who takes over, by name or number [default: the next in order]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l at -d 'Wait until then: 2026-11-27T02:00:00Z, or a span from now, as +15m; void if the master changes before' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l operator-key -d 'The operator\'s key file: only who has it may order' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l why -d 'Why; kept in the history for good, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l who -d 'Who orders it; kept in the history [default: $USER]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l timeout -d 'Seconds to wait for the answer; the order is void after twice as long' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -l dry-run -d 'Say what would be done, and do nothing'
complete -c duohuo -n "__fish_duohuo_using_subcommand switchover" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l to -d 'Who takes over, by name or number' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l confirm -d 'The cluster\'s name once more, for scripts; a person on a terminal is asked for it' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l operator-key -d 'The operator\'s key file: only who has it may order' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l why -d 'Why; kept in the history for good, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l who -d 'Who orders it; kept in the history [default: $USER]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l timeout -d 'Seconds to wait for the answer; the order is void after twice as long' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -l unsafe -d 'There is no safe way: that this is understood'
complete -c duohuo -n "__fish_duohuo_using_subcommand failover" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l operator-key -d 'The operator\'s key file: only who has it may order' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l why -d 'Why; kept in the history for good, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l who -d 'Who orders it; kept in the history [default: $USER]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -l timeout -d 'Seconds to wait for the answer; the order is void after twice as long' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand unbar" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l operator-key -d 'The operator\'s key file: only who has it may order' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l why -d 'Why; kept in the history for good, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l who -d 'Who orders it; kept in the history [default: $USER]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l timeout -d 'Seconds to wait for the answer; the order is void after twice as long' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -l wait -d 'Then wait until every node that answers has heard of it, and a master leads each of these clusters'
complete -c duohuo -n "__fish_duohuo_using_subcommand pause" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l operator-key -d 'The operator\'s key file: only who has it may order' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l why -d 'Why; kept in the history for good, at most 255 bytes' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l who -d 'Who orders it; kept in the history [default: $USER]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l timeout -d 'Seconds to wait for the answer; the order is void after twice as long' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -l wait -d 'Then wait until every node that answers has heard of it, and a master leads each of these clusters'
complete -c duohuo -n "__fish_duohuo_using_subcommand resume" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and not __fish_seen_subcommand_from network node client sign help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and not __fish_seen_subcommand_from network node client sign help" -f -a "network" -d 'Make everything for a new network: keys, a signed roster, one directory per process'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and not __fish_seen_subcommand_from network node client sign help" -f -a "node" -d 'Make the keys of one node; prints what the operator enters into the roster'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and not __fish_seen_subcommand_from network node client sign help" -f -a "client" -d 'Make the key of one client; prints what the operator enters into the roster'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and not __fish_seen_subcommand_from network node client sign help" -f -a "sign" -d 'Sign a roster after a change (raise its version first)'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and not __fish_seen_subcommand_from network node client sign help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l dir -d 'Where it goes: a new or empty directory' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l layout -d 'Where the nodes stand, as TOML [default: so many clusters and nodes on 127.x]' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l clusters -d 'How many clusters, 1..=254, without a layout' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l nodes -d 'How many nodes each cluster has, 2..=64, without a layout' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l port -d 'UDP and TCP port of all, without a layout' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l keepalive-interval-ms -d 'Milliseconds between keepalives, 1..=10000; all other spans follow from it' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -l pack -d 'Pack what each machine needs, too, as roster pack --all does: a new directory, with one of the name of each process in it' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from network" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from node" -l dir -d 'Where session.key and signing.key go; files that are there are never overwritten' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from node" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from client" -l key -d 'The new key file; one that is there is never overwritten' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from client" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from sign" -l roster -d 'The roster; rewritten with its signature' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from sign" -l operator-key -d 'The operator\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from help" -f -a "network" -d 'Make everything for a new network: keys, a signed roster, one directory per process'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from help" -f -a "node" -d 'Make the keys of one node; prints what the operator enters into the roster'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from help" -f -a "client" -d 'Make the key of one client; prints what the operator enters into the roster'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from help" -f -a "sign" -d 'Sign a roster after a change (raise its version first)'
complete -c duohuo -n "__fish_duohuo_using_subcommand keygen; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and not __fish_seen_subcommand_from check plan help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and not __fish_seen_subcommand_from check plan help" -f -a "check" -d 'Go through every set of lost rooms, every two-way cut and every cut link; refuse what stops at one lost room'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and not __fish_seen_subcommand_from check plan help" -f -a "plan" -d 'Print a layout whose clusters all go on, whichever so many of its rooms are lost; for keygen network --layout'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and not __fish_seen_subcommand_from check plan help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from check" -l survive -d 'How many rooms with nodes may be lost while the authority stands; one room, the authority\'s too, always may' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from check" -l authority-room -d 'Where the authority stands, in place of what the file says [default: in a room of its own]' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from check" -s o -l output -d 'How to print' -r -f -a "table\t'For people'
json\t'One JSON object'"
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from check" -l all -d 'Every case; without it, of more than 40 cases only those in which the chain stops'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from plan" -l rooms -d 'Rooms with nodes; the authority has one of its own besides' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from plan" -l survive -d 'How many of them may be lost' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from plan" -l clusters -d 'Members of the chain' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from help" -f -a "check" -d 'Go through every set of lost rooms, every two-way cut and every cut link; refuse what stops at one lost room'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from help" -f -a "plan" -d 'Print a layout whose clusters all go on, whichever so many of its rooms are lost; for keygen network --layout'
complete -c duohuo -n "__fish_duohuo_using_subcommand layout; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "init" -d 'Begin: make everything for a new network: keys, a signed roster, one directory per process; the same as keygen network'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "show" -d 'Print a roster: clusters, nodes, rooms, priorities, and whether it is signed as it should be'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "add" -d 'Enrol one more node: makes its keys and configuration, signs the roster anew'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "remove" -d 'Take a node out for good (stop it first); its entry stays, since what it signed must verify for ever'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "replace" -d 'Put a new node in the place of one that lost its disk: same name, room and address, new keys and a new number; the old one is taken out'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "rotate" -d 'Give a node a new session key; the old one is kept beside it as session.key.old'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "sign" -d 'Sign a roster that was edited by hand: raises its version'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "pack" -d 'Put all that one process needs into a directory, as it goes to /etc/duohuo of its machine; or so for every process'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and not __fish_seen_subcommand_from init show add remove replace rotate sign pack help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l dir -d 'Where it goes: a new or empty directory' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l layout -d 'Where the nodes stand, as TOML [default: so many clusters and nodes on 127.x]' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l clusters -d 'How many clusters, 1..=254, without a layout' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l nodes -d 'How many nodes each cluster has, 2..=64, without a layout' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l port -d 'UDP and TCP port of all, without a layout' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l keepalive-interval-ms -d 'Milliseconds between keepalives, 1..=10000; all other spans follow from it' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -l pack -d 'Pack what each machine needs, too, as roster pack --all does: a new directory, with one of the name of each process in it' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from show" -l operator-public-key -d 'The operator\'s public key file (operator.pub), to verify the signature with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l dir -d 'The network\'s directory, as keygen network made it, with operator.key' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l reload -d 'Then tell the authority: its process number here, or its unit of systemd' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l cluster -d 'The cluster that it joins, by name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l name -d 'Its name, new in the roster' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l room -d 'Where it stands' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l address -d 'UDP and TCP' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -l priority -d 'The highest leads; 0 never does' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from remove" -l dir -d 'The network\'s directory, as keygen network made it, with operator.key' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from remove" -l reload -d 'Then tell the authority: its process number here, or its unit of systemd' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from remove" -l node -d 'By name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from replace" -l dir -d 'The network\'s directory, as keygen network made it, with operator.key' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from replace" -l reload -d 'Then tell the authority: its process number here, or its unit of systemd' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from replace" -l node -d 'By name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from replace" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from rotate" -l dir -d 'The network\'s directory, as keygen network made it, with operator.key' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from rotate" -l reload -d 'Then tell the authority: its process number here, or its unit of systemd' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from rotate" -l node -d 'By name' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from sign" -l operator-key -d 'The operator\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from pack" -l dir -d 'The network\'s directory' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from pack" -l node -d 'The node\'s name, or "authority"' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from pack" -l out -d 'A new directory' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from pack" -l all -d 'The authority and every node in service, each in a directory of its name below the new one'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from pack" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "init" -d 'Begin: make everything for a new network: keys, a signed roster, one directory per process; the same as keygen network'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print a roster: clusters, nodes, rooms, priorities, and whether it is signed as it should be'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "add" -d 'Enrol one more node: makes its keys and configuration, signs the roster anew'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take a node out for good (stop it first); its entry stays, since what it signed must verify for ever'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "replace" -d 'Put a new node in the place of one that lost its disk: same name, room and address, new keys and a new number; the old one is taken out'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'Give a node a new session key; the old one is kept beside it as session.key.old'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "sign" -d 'Sign a roster that was edited by hand: raises its version'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "pack" -d 'Put all that one process needs into a directory, as it goes to /etc/duohuo of its machine; or so for every process'
complete -c duohuo -n "__fish_duohuo_using_subcommand roster; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand setup" -l into -d 'Where it goes' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand setup" -l account -d 'Whose files and store are to be; ignored unless run as root' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand setup" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and not __fish_seen_subcommand_from init backup restore help" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and not __fish_seen_subcommand_from init backup restore help" -f -a "init" -d 'Make it; refused if there is one: a node that lost its store must not start again under its number'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and not __fish_seen_subcommand_from init backup restore help" -f -a "backup" -d 'Copy the chain out of the store of a node that is stopped: blocks and snapshots, nothing that it said or promised'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and not __fish_seen_subcommand_from init backup restore help" -f -a "restore" -d 'Make the store of a new node with the chain of a backup in it, after every block was proven; the node starts without --init, joins as one that has said nothing, and fetches only what is newer'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and not __fish_seen_subcommand_from init backup restore help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from init" -l config -d 'The configuration of the node or of the authority' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from backup" -l config -d 'The configuration of the node' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from backup" -l out -d 'A new file, readable by its owner alone' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from backup" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -l node -d 'The configuration of the new node' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -l from -d 'What store backup made' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -l config -d 'A client\'s configuration, as keygen network writes it (roster, operator\'s key, client\'s key)' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -l roster -d 'The roster; believed as it is: without a configuration there is no operator\'s key to verify it with' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -l key -d 'The client\'s key file' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -l timeout -d 'Seconds to wait for each answer' -r
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "init" -d 'Make it; refused if there is one: a node that lost its store must not start again under its number'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "backup" -d 'Copy the chain out of the store of a node that is stopped: blocks and snapshots, nothing that it said or promised'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Make the store of a new node with the chain of a backup in it, after every block was proven; the node starts without --init, joins as one that has said nothing, and fetches only what is newer'
complete -c duohuo -n "__fish_duohuo_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand docs" -l dir -d 'Where they go' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand docs" -s h -l help -d 'Print help'
complete -c duohuo -n "__fish_duohuo_using_subcommand decode" -l file -d 'A pcap or pcapng capture, or a file with the bytes of a packet, as they are or in hexadecimal' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand decode" -l key-log -d 'Open sealed packets with the keys of this file, as tools/wireshark/README.md describes it' -r -F
complete -c duohuo -n "__fish_duohuo_using_subcommand decode" -l as -d 'What bytes that are no capture are' -r -f -a "packet\t'One packet, of a datagram or a stream'
datagram\t'One datagram, of 1200 bytes at most'
stream\t'What a stream brought: packets, one after the other'"
complete -c duohuo -n "__fish_duohuo_using_subcommand decode" -l json -d 'Print one JSON object per packet'
complete -c duohuo -n "__fish_duohuo_using_subcommand decode" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "authority" -d 'Run the authority: it decides which node of each cluster may act, and forgets no decision'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "node" -d 'Run a node: a member of a cluster, which follows, stands by or acts for it'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "keeper" -d 'Run the programs of a node\'s hooks: started by the node itself, which speaks to it'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "demo" -d 'Start a whole network on this machine, break it in every way the patent names, and check that nothing is lost'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "status" -d 'Show who is master, standby and in sync, and how far each ledger is'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "neighbours" -d 'Show who hears whom inside each cluster, each direction for itself'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "watch" -d 'Print what happens, as one JSON object a line, until interrupted'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "wait" -d 'Wait until a network is in a state'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "check" -d 'Judge the network for a supervisor (Nagios, Icinga): one line, figures behind the bar'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "config" -d 'Make, check, show and compare configurations; nothing of it touches a running process'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "control" -d 'Speak to a node or the authority on this machine: read its files again, stop it, hold a drill; it logs who and why'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "submit" -d 'Submit a transfer and wait until it is committed; submitting it again under the same id is harmless'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "ledger" -d 'Show accounts and blocks, prove a store, write the chain out'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "history" -d 'Show what the authority decided, when, why and by whose order, and how long each switch took; the record is verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "drill" -d 'Rehearse a takeover: each standby goes the way of a real one, up to its first vote, which is thrown away; nothing is changed'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "switchover" -d 'Hand a cluster over to another node without missing a commit'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "failover" -d 'Make a node master although the whole in-sync set of its cluster is lost; what only that set knew is lost with it'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "unbar" -d 'Let a node lead again that was barred after a wrong result'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "pause" -d 'Suspend automatic switches, of one cluster or of all; orders are still carried out'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "resume" -d 'End a pause: of the same cluster, or the one of all'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "keygen" -d 'Make keys, signed rosters and configurations'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "layout" -d 'Judge where nodes stand: which rooms may be lost and which links cut, who may then act, and why'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "roster" -d 'Begin a network, and show and change who belongs to it, while it runs'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "setup" -d 'Set this machine up from a pack: its files go to /etc/duohuo, and the store is made; once in the life of a machine'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "store" -d 'Make the store of a process before its very first start; back up and restore the chain that a node holds'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "docs" -d 'Write the man pages and completions'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "decode" -d 'Show packets with the names of the specification: from hexadecimal text, a file or a capture'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and not __fish_seen_subcommand_from authority node keeper demo status neighbours watch wait check config control submit ledger history drill switchover failover unbar pause resume keygen layout roster setup store docs decode help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "init" -d 'Print a complete configuration with a line about each key'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Read a configuration and every file that it names, as a start would'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print what a configuration says, one key a line'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "diff" -d 'Compare two configurations, defaults included'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from control" -f -a "state" -d 'Who it is, its role and epoch, and whether it acts; changes nothing'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from control" -f -a "reload" -d 'Read its configuration and the roster again, as SIGHUP; fails if they cannot be used'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from control" -f -a "stop" -d 'Stop it in good order, as SIGTERM: a master resigns'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from control" -f -a "wrong-results" -d 'A drill: compute wrong results from now on, or no longer; where its configuration allows drills'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "account" -d 'What an account holds, as nodes of several clusters say'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "block" -d 'A committed block, after its certificate was verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "verify" -d 'Prove the store of a node that is stopped: from the genesis or from a proven snapshot, block by block, against the certificates and what the authority signed'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "export" -d 'Write committed blocks as JSON, one a line, each verified'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from keygen" -f -a "network" -d 'Make everything for a new network: keys, a signed roster, one directory per process'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from keygen" -f -a "node" -d 'Make the keys of one node; prints what the operator enters into the roster'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from keygen" -f -a "client" -d 'Make the key of one client; prints what the operator enters into the roster'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from keygen" -f -a "sign" -d 'Sign a roster after a change (raise its version first)'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from layout" -f -a "check" -d 'Go through every set of lost rooms, every two-way cut and every cut link; refuse what stops at one lost room'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from layout" -f -a "plan" -d 'Print a layout whose clusters all go on, whichever so many of its rooms are lost; for keygen network --layout'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "init" -d 'Begin: make everything for a new network: keys, a signed roster, one directory per process; the same as keygen network'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "show" -d 'Print a roster: clusters, nodes, rooms, priorities, and whether it is signed as it should be'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "add" -d 'Enrol one more node: makes its keys and configuration, signs the roster anew'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "remove" -d 'Take a node out for good (stop it first); its entry stays, since what it signed must verify for ever'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "replace" -d 'Put a new node in the place of one that lost its disk: same name, room and address, new keys and a new number; the old one is taken out'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "rotate" -d 'Give a node a new session key; the old one is kept beside it as session.key.old'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "sign" -d 'Sign a roster that was edited by hand: raises its version'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from roster" -f -a "pack" -d 'Put all that one process needs into a directory, as it goes to /etc/duohuo of its machine; or so for every process'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "init" -d 'Make it; refused if there is one: a node that lost its store must not start again under its number'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "backup" -d 'Copy the chain out of the store of a node that is stopped: blocks and snapshots, nothing that it said or promised'
complete -c duohuo -n "__fish_duohuo_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "restore" -d 'Make the store of a new node with the chain of a backup in it, after every block was proven; the node starts without --init, joins as one that has said nothing, and fetches only what is newer'
