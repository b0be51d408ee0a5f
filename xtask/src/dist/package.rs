//! Debian packages, from a folder laid out as the root of a machine. `dpkg-deb` makes them, which every Debian has and
//! which knows no more than this.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::target::Target;
use crate::docs;
use crate::shell::{execute, output, program, repository};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the original that others may ask for and get.
const ORIGINAL: &str = "2.0.22";
/// `GROVEMQ_MAINTAINER` names who publishes the packages.
const MAINTAINER: &str = "GroveMQ contributors <contributors@grovemq.invalid>";
/// Commands of the original that are this program; the broker is where daemons are.
const ORIGINAL_TOOLS: &[&str] = &[
    "mosquitto_pub",
    "mosquitto_sub",
    "mosquitto_rr",
    "mosquitto_passwd",
    "mosquitto_ctrl",
    "mosquitto_signal",
    "mosquitto_db_dump",
];

/// The program, its service and its documentation.
pub(crate) fn grovemq(target: &Target, binary: &Path, libraries: &str, out: &Path) -> Result<PathBuf> {
    let tree = Tree::new("grovemq", out)?;
    tree.file(binary, "usr/bin/grovemq", 0o755)?;
    let ours = repository().join("packaging/grovemq");
    tree.file(&ours.join("grovemq.conf"), "etc/grovemq/grovemq.conf", 0o644)?;
    tree.folder("etc/grovemq/conf.d")?;
    tree.file(&ours.join("grovemq.service"), "usr/lib/systemd/system/grovemq.service", 0o644)?;
    tree.compressed(docs::example().as_bytes(), "usr/share/doc/grovemq/examples/grovemq.conf.gz")?;
    for folder in ["examples/lab", "examples/thing"] {
        tree.whole(&repository().join(folder), &format!("usr/share/doc/grovemq/{folder}"))?;
    }
    tree.manual(|page| !page.starts_with("mosquitto"))?;
    tree.completions(|name| !name.contains("mosquitto"))?;
    tree.documents()?;
    tree.package(target.debian, libraries)
}

/// The original's names for it.
pub(crate) fn names(out: &Path) -> Result<PathBuf> {
    let tree = Tree::new("grovemq-mosquitto", out)?;
    tree.link("../bin/grovemq", "usr/sbin/mosquitto")?;
    for tool in ORIGINAL_TOOLS {
        tree.link("grovemq", &format!("usr/bin/{tool}"))?;
        // the shell looks for them by the command's name; the file itself knows all names
        tree.link("grovemq", &format!("usr/share/bash-completion/completions/{tool}"))?;
    }
    let ours = repository().join("packaging/grovemq-mosquitto");
    tree.file(&ours.join("mosquitto.conf"), "etc/mosquitto/mosquitto.conf", 0o644)?;
    tree.file(&ours.join("mosquitto.init"), "etc/init.d/mosquitto", 0o755)?;
    tree.file(&ours.join("mosquitto.logrotate"), "etc/logrotate.d/mosquitto", 0o644)?;
    tree.file(&ours.join("mosquitto.service"), "usr/lib/systemd/system/mosquitto.service", 0o644)?;
    for folder in ["etc/mosquitto/conf.d", "var/lib/mosquitto", "var/log/mosquitto"] {
        tree.folder(folder)?;
    }
    tree.compressed(docs::example().as_bytes(), "usr/share/doc/mosquitto/examples/mosquitto.conf.gz")?;
    tree.manual(|page| page.starts_with("mosquitto"))?;
    tree.completions(|name| name.contains("mosquitto"))?;
    tree.documents()?;
    tree.package("all", "")
}

/// The libraries a program wants of Debian: the C library, in the version whose symbols it uses.
pub(crate) fn libraries(binary: &Path) -> Result<String> {
    let symbols = output(program("readelf", &["--wide", "--version-info"]).arg(binary))?;
    let (major, minor) = newest_glibc(&symbols).context("the program asks for no version of glibc")?;
    Ok(format!("libc6 (>= {major}.{minor}), libgcc-s1"))
}

fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let version = |rest: &str| {
        let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let mut parts = version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    symbols.split("GLIBC_").skip(1).filter_map(version).max()
}

/// A package as it grows.
struct Tree {
    name: &'static str,
    root: PathBuf,
    out: PathBuf,
}

impl Tree {
    fn new(name: &'static str, out: &Path) -> Result<Self> {
        let root = out.join("tree").join(name);
        if root.exists() {
            std::fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        }
        let tree = Self { name, root, out: out.to_owned() };
        tree.folder("DEBIAN")?;
        Ok(tree)
    }

    fn folder(&self, to: &str) -> Result<PathBuf> {
        let path = self.root.join(to);
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The place for a file; the folders above it are there.
    fn place(&self, to: &str) -> Result<PathBuf> {
        let (folder, name) = to.rsplit_once('/').context("a file lies in a folder")?;
        Ok(self.folder(folder)?.join(name))
    }

    fn write(&self, content: &[u8], to: &str, mode: u32) -> Result<()> {
        let path = self.place(to)?;
        std::fs::write(&path, content).with_context(|| path.display().to_string())?;
        Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?)
    }

    fn file(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let content = std::fs::read(from).with_context(|| from.display().to_string())?;
        self.write(&content, to, mode)
    }

    fn link(&self, target: &str, to: &str) -> Result<()> {
        Ok(symlink(target, self.place(to)?)?)
    }

    fn compressed(&self, content: &[u8], to: &str) -> Result<()> {
        let plain = to.strip_suffix(".gz").context("compressed files end in .gz")?;
        self.write(content, plain, 0o644)?;
        execute(program("gzip", &["-9", "--no-name", "--force"]).arg(self.root.join(plain)))
    }

    /// A folder with all that is in it.
    fn whole(&self, from: &Path, to: &str) -> Result<()> {
        for entry in sorted(from)? {
            let name = file_name(&entry)?;
            if entry.is_dir() {
                self.whole(&entry, &format!("{to}/{name}"))?;
            } else {
                self.file(&entry, &format!("{to}/{name}"), 0o644)?;
            }
        }
        Ok(())
    }

    /// Man pages of docs/man. One that only refers to another has that one's text: it may be in the other package.
    fn manual(&self, ours: impl Fn(&str) -> bool) -> Result<()> {
        let folder = repository().join("docs/man");
        for path in sorted(&folder)? {
            let page = file_name(&path)?;
            let Some((_, section)) = page.rsplit_once('.').filter(|_| ours(page)) else { continue };
            let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            if let Some(other) = text.strip_prefix(".so ").and_then(|line| line.trim().rsplit('/').next()) {
                text = std::fs::read_to_string(folder.join(other)).with_context(|| other.to_owned())?;
            }
            self.compressed(text.as_bytes(), &format!("usr/share/man/man{section}/{page}.gz"))?;
        }
        Ok(())
    }

    /// Completions of docs/completions, where there are some, at the place where each shell looks.
    fn completions(&self, ours: impl Fn(&str) -> bool) -> Result<()> {
        let folder = repository().join("docs/completions");
        if !folder.exists() {
            return Ok(());
        }
        for path in sorted(&folder)? {
            let name = file_name(&path)?;
            let place = match name.rsplit_once('.') {
                Some((command, "bash")) => format!("usr/share/bash-completion/completions/{command}"),
                Some((_, "fish")) => format!("usr/share/fish/vendor_completions.d/{name}"),
                Some((command, "zsh")) => {
                    format!("usr/share/zsh/vendor-completions/_{}", command.trim_start_matches('_'))
                }
                None if name.starts_with('_') => format!("usr/share/zsh/vendor-completions/{name}"),
                _ => bail!("docs/completions/{name}: which shell is that for?"),
            };
            if ours(name) {
                self.file(&path, &place, 0o644)?;
            }
        }
        Ok(())
    }

    /// What every package says of itself.
    fn documents(&self) -> Result<()> {
        let read = |name: &str| std::fs::read_to_string(repository().join(name)).context(name.to_owned());
        let copyright = format!(
            "This is GroveMQ, https://github.com/grovemq/grovemq, under the MIT licence or the Apache licence 2.0, as you \
             prefer. On Debian the latter is in /usr/share/common-licenses/Apache-2.0. The former:\n\n{}",
            read("LICENSE-MIT")?
        );
        let folder = format!("usr/share/doc/{}", self.name);
        self.write(copyright.as_bytes(), &format!("{folder}/copyright"), 0o644)?;
        self.compressed(read("CHANGELOG.md")?.as_bytes(), &format!("{folder}/changelog.gz"))
    }

    /// Adds what dpkg wants to know, and packs it.
    fn package(self, architecture: &str, libraries: &str) -> Result<PathBuf> {
        let sums = "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | sort -z | xargs -0 md5sum";
        let sums = output(program("sh", &["-c", sums]).current_dir(&self.root).stdin(Stdio::null()))?;
        self.write(sums.as_bytes(), "DEBIAN/md5sums", 0o644)?;
        let ours = repository().join("packaging").join(self.name);
        for script in ["postinst", "prerm", "postrm"] {
            self.file(&ours.join(script), &format!("DEBIAN/{script}"), 0o755)?;
        }
        self.file(&ours.join("conffiles"), "DEBIAN/conffiles", 0o644)?;
        let size =
            output(program("du", &["--summarize", "--block-size=1024", "--exclude=DEBIAN"]).arg(&self.root))?;
        let maintainer = std::env::var("GROVEMQ_MAINTAINER");
        let control = std::fs::read_to_string(ours.join("control")).context("control")?;
        let control = control
            .replace("@VERSION@", VERSION)
            .replace("@ORIGINAL@", ORIGINAL)
            .replace("@ARCHITECTURE@", architecture)
            .replace("@LIBRARIES@", libraries)
            .replace("@MAINTAINER@", maintainer.as_deref().unwrap_or(MAINTAINER))
            .replace("@SIZE@", size.split_whitespace().next().unwrap_or("0"));
        self.write(control.as_bytes(), "DEBIAN/control", 0o644)?;
        let (name, end) = (format!("{}_", self.name), format!("_{architecture}.deb"));
        // of another version, from another day
        for old in sorted(&self.out)? {
            if file_name(&old)?.strip_prefix(&name).is_some_and(|rest| rest.ends_with(&end)) {
                std::fs::remove_file(&old).with_context(|| old.display().to_string())?;
            }
        }
        let package = self.out.join(format!("{name}{VERSION}{end}"));
        let mut pack = program("dpkg-deb", &["--root-owner-group", "-Zxz", "--build"]);
        // the same contents make the same package
        if let Ok(time) = output(&mut program("git", &["log", "-1", "--format=%ct"])) {
            pack.env("SOURCE_DATE_EPOCH", time.trim());
        }
        execute(pack.arg(&self.root).arg(&package))?;
        Ok(package)
    }
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> Result<&str> {
    path.file_name().and_then(|name| name.to_str()).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_glibc_counts() {
        let symbols =
            "0x0010: Name: GLIBC_2.9 Flags\n 0x20: Name: GLIBC_2.34\n Name: GLIBC_2.4\n Name: GLIBC_ABI";
        assert_eq!(newest_glibc(symbols), Some((2, 34)));
        assert_eq!(newest_glibc("no versions"), None);
    }

    #[test]
    fn every_mark_in_a_control_file_has_a_value() {
        for name in ["grovemq", "grovemq-mosquitto"] {
            let control =
                std::fs::read_to_string(repository().join("packaging").join(name).join("control")).unwrap();
            let known = ["VERSION", "ORIGINAL", "ARCHITECTURE", "LIBRARIES", "MAINTAINER", "SIZE"];
            for mark in control.split('@').skip(1).step_by(2) {
                assert!(known.contains(&mark), "{name}: @{mark}@");
            }
            assert!(control.contains(&format!("Package: {name}\n")));
        }
    }

    #[test]
    fn each_command_with_a_page_by_the_originals_name_is_there_by_that_name() {
        let pages = sorted(&repository().join("docs/man")).unwrap();
        let pages = pages.iter().filter_map(|path| file_name(path).unwrap().strip_suffix(".1"));
        let mut named: Vec<&str> = pages.filter(|name| name.starts_with("mosquitto_")).collect();
        let mut tools = ORIGINAL_TOOLS.to_vec();
        named.sort_unstable();
        tools.sort_unstable();
        assert_eq!(tools, named);
    }

    #[test]
    fn pages_and_links_lie_where_a_machine_looks_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new("grovemq", dir.path()).unwrap();
        tree.link("../bin/grovemq", "usr/sbin/mosquitto").unwrap();
        assert_eq!(
            std::fs::read_link(tree.root.join("usr/sbin/mosquitto")).unwrap(),
            Path::new("../bin/grovemq")
        );
        tree.manual(|page| page == "grovemq.conf.5").unwrap();
        let page =
            output(program("gzip", &["-dc"]).arg(tree.root.join("usr/share/man/man5/grovemq.conf.5.gz")));
        // the page itself, not the name of one in another package
        assert!(page.unwrap().contains(".TH "));
    }
}
