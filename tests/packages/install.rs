//! Installing, upgrading, replacing, removing.

use grovemq_tests::SOON;

use crate::machine::Machine;

const OURS: &str = "/packages/grovemq_*.deb";
const NAMES: &str = "/packages/grovemq-mosquitto_*.deb";

/// A retained message that has to survive, and who asks for it.
const KEEP: &str = "mosquitto_pub -q 1 -r -t house/door -m open";
const ASK: &str = "mosquitto_sub -t house/door -C 1 -W 10";

/// Makes the next version of a package out of this one, and installs it.
#[track_caller]
fn upgrade(machine: &Machine, changes: &str) {
    let lines = format!(
        "set -e; cd /packages; for old in grovemq*.deb; do \
         rm -rf next; dpkg-deb --raw-extract $old next; \
         sed -i 's/^Version: .*/Version: 99.0/; s/grovemq (= .*)/grovemq (= 99.0), adduser/' next/DEBIAN/control; \
         {changes}; dpkg-deb --build next next-$old; done; \
         dpkg --install --force-confold $(for p in grovemq grovemq-mosquitto; do \
         dpkg -s $p >/dev/null 2>&1 && echo next-${{p}}_*.deb; done)"
    );
    machine.root(&lines).success();
}

#[test]
#[ignore = "`cargo xtask dist --check` runs it"]
fn the_package_comes_runs_is_upgraded_and_goes() {
    let machine = Machine::with(OURS);
    assert_eq!(machine.says("dpkg --verify grovemq"), "", "a file differs from the package's");
    assert_eq!(machine.says("stat -c '%U %G %a' /var/lib/grovemq"), "grovemq grovemq 750");
    assert_eq!(machine.says("systemctl is-enabled grovemq"), "enabled");
    machine.root("systemd-analyze verify --man=no /usr/lib/systemd/system/grovemq.service").success();
    machine.root("! test -e /usr/sbin/mosquitto").success();
    machine.run("grovemq check /etc/grovemq/grovemq.conf").success();
    machine.run("man -w grovemq.conf && zcat /usr/share/doc/grovemq/examples/grovemq.conf.gz").success();

    let serve = "sudo grovemq broker -c /etc/grovemq/grovemq.conf";
    let broker = machine.start(serve);
    machine.wait_for_broker();
    let sockets = machine.says("ss -Hltn 'sport = :1883' | awk '{print $4}' | sort");
    assert_eq!(sockets, "127.0.0.1:1883\n[::1]:1883", "more than this machine is served");
    assert_eq!(machine.says("ps -o user= -C grovemq"), "grovemq");
    machine.run(&KEEP.replace("mosquitto_", "grovemq ")).success();
    machine.root("pkill -TERM -x grovemq").success();
    broker.finish(SOON).success();

    machine.root("echo '# mine' >> /etc/grovemq/grovemq.conf").success();
    machine.root("echo allow_anonymous true > /etc/grovemq/conf.d/mine.conf").success();
    upgrade(&machine, "test ! -e next/etc/grovemq || echo '# theirs' >> next/etc/grovemq/grovemq.conf");
    assert_eq!(machine.says("dpkg-query -W -f '${Version}' grovemq"), "99.0");
    assert_eq!(machine.says("tail -n 1 /etc/grovemq/grovemq.conf"), "# mine");

    let broker = machine.start(serve);
    machine.wait_for_broker();
    assert_eq!(machine.run(&ASK.replace("mosquitto_", "grovemq ")).success().text(), "open\n");
    machine.root("pkill -TERM -x grovemq").success();
    broker.finish(SOON).success();

    machine.root("apt-get -y remove grovemq").success();
    machine
        .root("! test -e /usr/bin/grovemq && test -e /etc/grovemq/grovemq.conf && test -e /var/lib/grovemq")
        .success();
    machine.root("apt-get -y purge grovemq").success();
    assert_eq!(
        machine.says("find /usr /etc /var -xdev -name '*grovemq*' ! -path '/var/cache/*'"),
        "/etc/grovemq"
    );
    // the operator's own file is his
    assert_eq!(machine.says("find /etc/grovemq -type f"), "/etc/grovemq/conf.d/mine.conf");
}

#[test]
#[ignore = "`cargo xtask dist --check` runs it"]
fn it_takes_the_originals_place_with_all_that_is_there() {
    let machine = Machine::with("mosquitto mosquitto-clients");
    machine.by_hand();
    let broker = machine.start("sudo mosquitto -c /etc/mosquitto/mosquitto.conf");
    machine.wait_for_broker();
    machine.run(KEEP).success();
    machine.root("pkill -TERM -x mosquitto").success();
    broker.finish(SOON).success();
    machine.root("echo '# mine' >> /etc/mosquitto/mosquitto.conf").success();

    machine.install(&format!("-o Dpkg::Options::=--force-confold {OURS} {NAMES}"));
    assert_eq!(machine.says("dpkg-query -W -f '${db:Status-Abbrev}' mosquitto"), "rc");
    assert_eq!(
        machine.says("readlink -f /usr/sbin/mosquitto /usr/bin/mosquitto_sub"),
        "/usr/bin/grovemq\n/usr/bin/grovemq"
    );
    assert_eq!(machine.says("tail -n 1 /etc/mosquitto/mosquitto.conf"), "# mine");
    assert_eq!(machine.says("systemctl is-enabled mosquitto"), "enabled");
    machine.root("systemd-analyze verify --man=no /usr/lib/systemd/system/mosquitto.service").success();
    // installed and started as the original's package does it; what the original has kept is there
    machine.wait_for_broker();
    assert_eq!(machine.run(ASK).success().text(), "open\n");
    assert_eq!(machine.says("ps -o user= -C mosquitto"), "mosquitto");
    // what needs the original has it
    let needs = "mkdir -p /needs/DEBIAN && printf 'Package: needs\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\n\
                 Depends: mosquitto (>= 2.0), mosquitto-clients\\nDescription: x\\n' > /needs/DEBIAN/control && \
                 dpkg-deb -b /needs && dpkg -i needs.deb";
    machine.root(needs).success();
    machine.root("dpkg -P needs").success();

    // forgetting the original takes nothing from ours
    machine.root("dpkg --purge mosquitto").success();
    machine.root("test -e /etc/mosquitto/mosquitto.conf && test -x /etc/init.d/mosquitto").success();

    upgrade(&machine, ":");
    machine.wait_for_broker();
    assert_eq!(machine.run(ASK).success().text(), "open\n");

    machine.root("apt-get -y purge grovemq-mosquitto").success();
    machine.wait_for_silence();
    machine.root("! test -e /usr/sbin/mosquitto && ! test -e /etc/mosquitto/mosquitto.conf && ! test -e /var/lib/mosquitto")
        .success();
    machine.root("test -x /usr/bin/grovemq").success();
}

#[test]
#[ignore = "`cargo xtask dist --check` runs it"]
fn the_original_comes_back() {
    let machine = Machine::with(&format!("{OURS} {NAMES}"));
    machine.wait_for_broker();
    machine.root("service mosquitto stop").success();
    machine.install("-o Dpkg::Options::=--force-confold mosquitto mosquitto-clients");
    assert_eq!(machine.says("dpkg-query -W -f '${db:Status-Abbrev}' grovemq-mosquitto"), "rc");
    assert!(machine.run("mosquitto -h").text().contains("mosquitto version 2"));
}
