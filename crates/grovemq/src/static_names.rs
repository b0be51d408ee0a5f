//! Names of users and hosts in a program that has the GNU C library inside (docs/adr/0015).

use std::ffi::{CStr, c_char, c_int};

/// What the program asks for, and where that is looked up: in what the library has inside. `initgroups` is a source of its
/// own in `/etc/nsswitch.conf`, as little as anybody uses it.
const SOURCES: &[(&CStr, &CStr)] =
    &[(c"passwd", c"files"), (c"group", c"files"), (c"initgroups", c"files"), (c"hosts", c"files dns")];

/// Puts files and DNS in the place of what `/etc/nsswitch.conf` says. To be called while there is one thread, before any name
/// is looked up. False if the library refuses.
pub(crate) fn ask_files_and_dns() -> bool {
    SOURCES.iter().all(|(names, sources)| configure(names, sources) == 0)
}

#[expect(unsafe_code, reason = "nothing else tells the library so: no variable, no file of our own")]
fn configure(names: &'static CStr, sources: &'static CStr) -> c_int {
    // in <nss.h>, for "programs which have to work around non-existing services"
    unsafe extern "C" {
        fn __nss_configure_lookup(names: *const c_char, sources: *const c_char) -> c_int;
    }
    // SAFETY: both are strings that end with a zero and live on, should the library keep them; it takes a lock of its own
    unsafe { __nss_configure_lookup(names.as_ptr(), sources.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{Gid, User, getgrouplist};
    use std::net::ToSocketAddrs as _;

    #[test]
    fn names_are_looked_up_and_nothing_is_loaded() {
        assert!(ask_files_and_dns());
        assert_eq!(User::from_name("root").unwrap().unwrap().uid.as_raw(), 0);
        assert_eq!(User::from_name("no-such-user").unwrap(), None);
        assert!(getgrouplist(c"no-such-user", Gid::from_raw(7)).unwrap() == [Gid::from_raw(7)]);
        assert!(("localhost", 1).to_socket_addrs().unwrap().all(|address| address.ip().is_loopback()));
        assert!(("no-such-host.invalid", 1).to_socket_addrs().is_err());
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // a program that is not static has others, and other tests may have looked up hosts before
        assert!(
            !maps.contains(if cfg!(target_feature = "crt-static") { ".so" } else { "libnss_systemd" }),
            "{maps}"
        );
    }

    #[test]
    fn what_the_library_does_not_know_is_refused() {
        assert_eq!(configure(c"no such names", c"files"), -1);
    }
}
