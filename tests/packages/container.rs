//! The container's contents, laid out as its file says and run as it says; the builder of containers is not needed for that.

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
