//! The static program: in the container's contents, laid out and run as its file says, for which no builder of containers is
//! needed; and on a whole machine.

use grovemq_tests::SOON;

use crate::machine::Machine;

#[test]
#[ignore = "`cargo xtask dist --check` runs it"]
fn the_program_needs_nothing_but_itself() {
    let machine = Machine::with("/packages/grovemq_*.deb");
    let image = "set -e; cd /packages/container; mkdir -p /image/usr/bin /image/etc/grovemq /image/var/lib; \
                 cp grovemq /image/usr/bin; cp grovemq.conf /image/etc/grovemq; cp -r state /image/var/lib/grovemq; \
                 chown -R 65532:65532 /image/var/lib/grovemq; \
                 grovemq passwd -b -c /image/etc/grovemq/passwords ann secret; chmod 644 /image/etc/grovemq/passwords";
    machine.root(image).success();
    assert!(machine.root("ldd /packages/container/grovemq").text().contains("statically linked"));
    let broker = machine.start(
        "sudo chroot --userspec=65532:65532 /image /usr/bin/grovemq broker -c /etc/grovemq/grovemq.conf",
    );
    machine.wait_for_broker();
    machine.run("grovemq pub -u ann -P secret -q 1 -r -t a -m kept").success();
    assert_eq!(machine.run("grovemq pub -t a -m x").code, 5, "somebody without a password got in");
    // by name, which the C library in the program has to find by itself
    let inside = "sudo chroot --userspec=65532:65532 /image /usr/bin/grovemq sub -h localhost -u ann -P secret -t a -C 1";
    machine.root("cp /etc/hosts /image/etc/hosts").success();
    assert_eq!(machine.run(inside).success().text(), "kept\n");
    machine.root("pkill -TERM -x grovemq").success();
    broker.finish(SOON).success();
    assert_eq!(machine.says("stat -c %u /image/var/lib/grovemq/*").lines().next(), Some("65532"));
}

#[test]
#[ignore = "`cargo xtask dist --check` runs it"]
fn started_by_root_it_becomes_its_user_and_loads_nothing() {
    let machine = Machine::with("/packages/grovemq_*.deb");
    // as on most Debians; a static program that loads what is named here ends by a segmentation fault
    machine.root("grep -q '^passwd:.* systemd' /etc/nsswitch.conf").success();
    machine.root("grep -q '^hosts:.* myhostname' /etc/nsswitch.conf").success();
    machine
        .root("useradd --system mosquitto && groupadd keys && usermod --append --groups keys mosquitto")
        .success();
    let plain = "printf 'listener 1883\\nallow_anonymous true\\nconnection away\\naddress far.localhost\\ntopic # out\\n'";
    machine.root(&format!("{plain} > /etc/plain.conf")).success();
    let broker = machine.start("sudo /packages/container/grovemq broker -c /etc/plain.conf");
    machine.wait_for_broker();
    assert_eq!(machine.says("ps -o user= -C grovemq"), "mosquitto");
    let groups = machine.says(
        "awk '/^Groups:/ { $1 = \"\"; print $0 }' /proc/$(pgrep -x grovemq)/status | xargs -n 1 | sort",
    );
    assert_eq!(groups, machine.says("id -G mosquitto | xargs -n 1 | sort"), "not all groups");

    // a name out of a file
    machine.run("/packages/container/grovemq pub -h $(hostname) -q 1 -r -t a -m kept").success();
    assert_eq!(machine.run("/packages/container/grovemq sub -t a -C 1 -W 10").success().text(), "kept\n");
    // one that only the module knows: the package finds it, the static program says that it does not
    machine.run("grovemq pub -h other.localhost -q 1 -t a -m x").success();
    assert_eq!(machine.run("/packages/container/grovemq pub -h other.localhost -t a -m x").code, 1);
    // the bridge has looked for such a name as well
    assert_eq!(machine.says("grep -c '\\.so' /proc/$(pgrep -x grovemq)/maps || true"), "0");
    machine.root("pkill -TERM -x grovemq").success();
    broker.finish(SOON).success();
}
