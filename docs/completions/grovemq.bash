# Made from the program's own table of options by `cargo xtask docs`.
_grovemq() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local name=${COMP_WORDS[0]##*/} word options= words=
    COMPREPLY=()
    if [[ $name == grovemq* ]]; then
        if ((COMP_CWORD == 1)); then
            COMPREPLY=($(compgen -W 'up broker check pub sub rr record replay probe bench capture passwd ctrl signal store thing board completions man help --help --version' -- "$cur"))
            return
        fi
        name=${COMP_WORDS[1]}
    fi
    case $name in
        mosquitto) name=broker ;;
        mosquitto_pub) name=pub ;;
        mosquitto_sub) name=sub ;;
        mosquitto_rr) name=rr ;;
        mosquitto_passwd) name=passwd ;;
        mosquitto_ctrl) name=ctrl ;;
        mosquitto_signal) name=signal ;;
    esac
    case $name$prev in
        up-p|up--port) return ;;
        broker-c|broker--config-file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        broker-p|broker--port) return ;;
        broker--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub-h|pub--host) return ;;
        pub-p|pub--port) return ;;
        pub-t|pub--topic) return ;;
        pub-q|pub--qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        pub-m|pub--message) return ;;
        pub-f|pub--file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--repeat) return ;;
        pub--repeat-delay) return ;;
        pub-u|pub--username) return ;;
        pub-P|pub--pw) return ;;
        pub-i|pub--id) return ;;
        pub-I|pub--id-prefix) return ;;
        pub-x|pub--session-expiry-interval) return ;;
        pub-k|pub--keepalive) return ;;
        pub-V|pub--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        pub-D|pub--property) return ;;
        pub--will-topic) return ;;
        pub--will-payload) return ;;
        pub--will-qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        pub-M) return ;;
        pub-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--retry-connect) return ;;
        pub-L|pub--url) return ;;
        pub-A) return ;;
        pub--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--proxy) return ;;
        pub--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        pub--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        pub--ciphers) return ;;
        pub--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        pub--tls-alpn) return ;;
        pub--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub-h|sub--host) return ;;
        sub-p|sub--port) return ;;
        sub-t|sub--topic) return ;;
        sub-q|sub--qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        sub-F) return ;;
        sub-C) return ;;
        sub-W) return ;;
        sub-T|sub--filter-out) return ;;
        sub-U|sub--unsubscribe) return ;;
        sub--random-filter) return ;;
        sub--retain-handling) COMPREPLY=($(compgen -W 'always new never' -- "$cur")); return ;;
        sub-u|sub--username) return ;;
        sub-P|sub--pw) return ;;
        sub-i|sub--id) return ;;
        sub-I|sub--id-prefix) return ;;
        sub-x|sub--session-expiry-interval) return ;;
        sub-k|sub--keepalive) return ;;
        sub-V|sub--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        sub-D|sub--property) return ;;
        sub--will-topic) return ;;
        sub--will-payload) return ;;
        sub--will-qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        sub-M) return ;;
        sub-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub--count-by) return ;;
        sub--color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        sub-L|sub--url) return ;;
        sub-A) return ;;
        sub--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub--proxy) return ;;
        sub--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        sub--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        sub--ciphers) return ;;
        sub--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        sub--tls-alpn) return ;;
        sub--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr-h|rr--host) return ;;
        rr-p|rr--port) return ;;
        rr-t|rr--topic) return ;;
        rr-q|rr--qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        rr-m|rr--message) return ;;
        rr-f|rr--file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr-e) return ;;
        rr-F) return ;;
        rr-W) return ;;
        rr--retain-handling) COMPREPLY=($(compgen -W 'always new never' -- "$cur")); return ;;
        rr-u|rr--username) return ;;
        rr-P|rr--pw) return ;;
        rr-i|rr--id) return ;;
        rr-I|rr--id-prefix) return ;;
        rr-x|rr--session-expiry-interval) return ;;
        rr-k|rr--keepalive) return ;;
        rr-V|rr--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        rr-D|rr--property) return ;;
        rr--will-topic) return ;;
        rr--will-payload) return ;;
        rr--will-qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        rr-M) return ;;
        rr-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr--color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        rr-L|rr--url) return ;;
        rr-A) return ;;
        rr--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr--proxy) return ;;
        rr--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        rr--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        rr--ciphers) return ;;
        rr--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        rr--tls-alpn) return ;;
        rr--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record-h|record--host) return ;;
        record-p|record--port) return ;;
        record-t|record--topic) return ;;
        record-q|record--qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        record-C) return ;;
        record-T|record--filter-out) return ;;
        record-u|record--username) return ;;
        record-P|record--pw) return ;;
        record-i|record--id) return ;;
        record-I|record--id-prefix) return ;;
        record-k|record--keepalive) return ;;
        record-V|record--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        record-M) return ;;
        record-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record--duration) return ;;
        record-L|record--url) return ;;
        record-A) return ;;
        record--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record--proxy) return ;;
        record--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        record--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        record--ciphers) return ;;
        record--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        record--tls-alpn) return ;;
        record--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay-h|replay--host) return ;;
        replay-p|replay--port) return ;;
        replay-u|replay--username) return ;;
        replay-P|replay--pw) return ;;
        replay-i|replay--id) return ;;
        replay-I|replay--id-prefix) return ;;
        replay-k|replay--keepalive) return ;;
        replay-V|replay--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        replay-M) return ;;
        replay-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay--speed) return ;;
        replay--topic) return ;;
        replay-L|replay--url) return ;;
        replay-A) return ;;
        replay--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay--proxy) return ;;
        replay--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        replay--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        replay--ciphers) return ;;
        replay--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        replay--tls-alpn) return ;;
        replay--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe-h|probe--host) return ;;
        probe-p|probe--port) return ;;
        probe-u|probe--username) return ;;
        probe-P|probe--pw) return ;;
        probe-i|probe--id) return ;;
        probe-I|probe--id-prefix) return ;;
        probe-k|probe--keepalive) return ;;
        probe-V|probe--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        probe-M) return ;;
        probe-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe--color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        probe-L|probe--url) return ;;
        probe-A) return ;;
        probe--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe--proxy) return ;;
        probe--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        probe--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        probe--ciphers) return ;;
        probe--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        probe--tls-alpn) return ;;
        probe--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench-h|bench--host) return ;;
        bench-p|bench--port) return ;;
        bench-t|bench--topic) return ;;
        bench-q|bench--qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        bench-u|bench--username) return ;;
        bench-P|bench--pw) return ;;
        bench-i|bench--id) return ;;
        bench-I|bench--id-prefix) return ;;
        bench-k|bench--keepalive) return ;;
        bench-V|bench--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        bench-M) return ;;
        bench-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench--duration) return ;;
        bench--clients) return ;;
        bench--publishers) return ;;
        bench--ramp) return ;;
        bench--rate) return ;;
        bench--size) return ;;
        bench--threads) return ;;
        bench-L|bench--url) return ;;
        bench-A) return ;;
        bench--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench--proxy) return ;;
        bench--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        bench--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        bench--ciphers) return ;;
        bench--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        bench--tls-alpn) return ;;
        bench--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        capture--color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        capture--listen) return ;;
        capture--to) return ;;
        capture-w|capture--write) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        passwd--format) COMPREPLY=($(compgen -W 'portable 2.0 2.1' -- "$cur")); return ;;
        ctrl-h|ctrl--host) return ;;
        ctrl-p|ctrl--port) return ;;
        ctrl-q|ctrl--qos) COMPREPLY=($(compgen -W '0 1 2' -- "$cur")); return ;;
        ctrl-f|ctrl--file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl-u|ctrl--username) return ;;
        ctrl-P|ctrl--pw) return ;;
        ctrl-i|ctrl--id) return ;;
        ctrl-I|ctrl--id-prefix) return ;;
        ctrl-k|ctrl--keepalive) return ;;
        ctrl-V|ctrl--protocol-version) COMPREPLY=($(compgen -W '31 311 5' -- "$cur")); return ;;
        ctrl-M) return ;;
        ctrl-o) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl-L|ctrl--url) return ;;
        ctrl-A) return ;;
        ctrl--unix) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl--proxy) return ;;
        ctrl--cafile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl--capath) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl--cert) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl--key) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        ctrl--keyform) COMPREPLY=($(compgen -W 'pem' -- "$cur")); return ;;
        ctrl--ciphers) return ;;
        ctrl--tls-version) COMPREPLY=($(compgen -W 'tlsv1.2 tlsv1.3' -- "$cur")); return ;;
        ctrl--tls-alpn) return ;;
        ctrl--tls-keylog) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        signal-p) return ;;
        thing-c|thing--config) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        thing-h|thing--host) return ;;
        thing-p|thing--port) return ;;
        thing--board) return ;;
        board--socket) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        board--control) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        board--script) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        board--firmware) return ;;
        man--all) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        man--all) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    esac
    case $name in
        up) options='-p --port --public --no-thing --no-store -v --verbose --help' words='' ;;
        broker) options='-c --config-file -d --daemon -h --help -p --port -q --quiet -v --verbose --test-config --tls-keylog --version' words='' ;;
        check) options='--effective' words='' ;;
        pub) options='-h --host -p --port -t --topic -q --qos -m --message -f --file -l --stdin-line -n --null-message -s --stdin-file -r --retain --repeat --repeat-delay -u --username -P --pw --scram -i --id -I --id-prefix -c --disable-clean-session -x --session-expiry-interval -k --keepalive -V --protocol-version -D --property --will-topic --will-payload --will-qos --will-retain -M --nodelay -o -d --debug --quiet --help --version --retry-connect -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='' ;;
        sub) options='-h --host -p --port -t --topic -q --qos -v --verbose -F --pretty -N -C -W -E -T --filter-out -U --unsubscribe -R --retained-only --remove-retained --message-rate --random-filter -w --watch --retain-as-published --retain-handling -u --username -P --pw --scram -i --id -I --id-prefix -c --disable-clean-session -x --session-expiry-interval -k --keepalive -V --protocol-version -D --property --will-topic --will-payload --will-qos --will-retain -M --nodelay -o -d --debug --quiet --help --version --json --count-by --color -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='' ;;
        rr) options='-h --host -p --port -t --topic -q --qos -m --message -f --file -n --null-message -s --stdin-file -e --latency -v --verbose -F --pretty -N -W -R --retain-as-published --retain-handling -u --username -P --pw --scram -i --id -I --id-prefix -c --disable-clean-session -x --session-expiry-interval -k --keepalive -V --protocol-version -D --property --will-topic --will-payload --will-qos --will-retain -M --nodelay -o -d --debug --quiet --help --version --json --color -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='' ;;
        record) options='-h --host -p --port -t --topic -q --qos -C -T --filter-out -R -u --username -P --pw --scram -i --id -I --id-prefix -k --keepalive -V --protocol-version -M --nodelay -o --quiet --help --version --duration -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='' ;;
        replay) options='-h --host -p --port -u --username -P --pw --scram -i --id -I --id-prefix -k --keepalive -V --protocol-version -M --nodelay -o --quiet --help --version --speed --topic -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='' ;;
        probe) options='-h --host -p --port -u --username -P --pw --scram -i --id -I --id-prefix -k --keepalive -V --protocol-version -M --nodelay -o --quiet --help --version --color --json -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='' ;;
        bench) options='-h --host -p --port -t --topic -q --qos -u --username -P --pw --scram -i --id -I --id-prefix -k --keepalive -V --protocol-version -M --nodelay -o --quiet --help --version --json --duration --clients --publishers --ramp --rate --size --threads -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='conn pub sub' ;;
        capture) options='--quiet --help --version --color --listen --to -w --write' words='' ;;
        passwd) options='-b -c -D -H -I -U --format --help --version' words='' ;;
        ctrl) options='-h --host -p --port -q --qos -v --verbose -f --file -u --username -P --pw --scram -i --id -I --id-prefix -k --keepalive -V --protocol-version -M --nodelay -o -d --debug --quiet --help --version -L --url -A --unix --ws --proxy --cafile --capath --tls-use-os-certs --no-tls --cert --key --keyform --insecure --ciphers --tls-version --tls-alpn --tls-keylog' words='dynsec broker shell' ;;
        signal) options='-a -p --help' words='config-reload log-rotate shutdown tree-print xtreport' ;;
        store) options='' words='stats check export import' ;;
        thing) options='-c --config -h --host -p --port --board --coap[=ADDRESS] -v --verbose --help' words='check schema' ;;
        board) options='--socket --control --script --firmware --help' words='' ;;
        completions) options='--help' words='bash zsh fish' ;;
        man) options='--all --all --help' words='' ;;
        help) words='up broker check pub sub rr record replay probe bench capture passwd ctrl signal store thing board completions man' ;;
    esac
    if [[ $name == ctrl ]]; then
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
            case $word in
                dynsec) options= words='help init getDefaultACLAccess setDefaultACLAccess getAnonymousGroup setAnonymousGroup createClient deleteClient enableClient disableClient getClient listClients setClientPassword setClientId addClientRole removeClientRole createGroup deleteGroup getGroup listGroups addGroupClient removeGroupClient addGroupRole removeGroupRole createRole deleteRole getRole listRoles addRoleACL removeRoleACL' ;;
                broker) options= words='help listListeners listPlugins' ;;
            esac
        done
    fi
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _grovemq grovemq mosquitto mosquitto_pub mosquitto_sub mosquitto_rr mosquitto_passwd mosquitto_ctrl mosquitto_signal
