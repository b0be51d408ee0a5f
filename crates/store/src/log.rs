//! The log: groups of changes, appended one after the other, each with one sync.
//!
//! ```text
//!   start                                   end
//!     ▼                                      ▼
//! [ segment ][ segment ][ segment ][ segment      ]   [ spare ] [ spare ]
//!     ▲ cleaned: what is alive in it is written again, with the next group; then it is a spare
//! ```
//!
//! Cleaning goes with the appending, a little each time, so no group waits long for it. One spare is kept back for groups
//! that only remove and one for cleaning, so that a full disk can be emptied. The spare that will be wanted next is made
//! by a thread of its own, since that takes as long as several groups do.

use crate::error::Limit;
use crate::frame::{Builder, Found, Header, records, walk};
use crate::segment::{self, Access, Face, HEADER_LEN, Segment};
use crate::{Error, Mode, Recovery};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) segment_min: u64,
    pub(crate) segment_max: u64,
    /// The log may be this much longer than what is alive in it, beside as much again as that.
    pub(crate) slack: u64,
    /// Looked through with each group while there is more, beside twice what the last group took.
    pub(crate) clean_step: u64,
}

impl Shape {
    pub(crate) const USUAL: Self =
        Self { segment_min: 256 << 10, segment_max: 4 << 20, slack: 4 << 20, clean_step: 64 << 10 };
}

/// Spares kept back while anything else can be had.
const RESERVE: usize = 2;
/// Spares kept for use anew.
const SPARES_MAX: usize = 4;

/// What a frame is written for, and so how far it may go into the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Adding,
    Removing,
    Cleaning,
}

impl Purpose {
    fn spares_left(self) -> usize {
        match self {
            Self::Adding => RESERVE,
            Self::Removing => RESERVE - 1,
            Self::Cleaning => 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    mode: Mode,
    access: Access,
    size_max: u64,
    shape: Shape,
    salt: u32,
    /// In use, oldest first. The last one is written to.
    segments: VecDeque<Segment>,
    spares: Vec<Segment>,
    /// A spare in the making, of this length.
    making: Option<(u64, JoinHandle<Result<Segment, Error>>)>,
    /// Of the last group.
    number: u64,
    /// Where the next frame goes.
    end: u64,
    /// Bytes of the last group.
    last_len: u64,
    /// How far the oldest segments have been cleaned.
    cleaned: u64,
    /// The last segment has bytes that are not safe.
    unsynced: bool,
    /// The last segment has failed: nothing more goes there.
    failed: bool,
    /// What the next append comes to, though all of it was written.
    #[cfg(test)]
    pub(crate) fault: Option<Error>,
    /// Only one process at a time.
    _lock: File,
}

/// What a survey of the files has told.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) sessions: u64,
    /// An unfinished group at the end, which nobody was told of.
    pub(crate) cut: bool,
    start: u64,
    /// Where the last sound group is; 0 if there is none.
    last: u64,
    /// Files without a header that can be read, where no file has one.
    unreadable: Vec<PathBuf>,
    /// For each segment in use: groups from this number on are told better by a later segment.
    limits: Vec<u64>,
}

impl Survey {
    fn in_use(&self, file: &Segment) -> bool {
        self.last != 0 && (self.start..=self.last).contains(&file.position)
    }
}

impl Log {
    pub(crate) fn open(dir: &Path, mode: Mode, size_max: u64, shape: Shape) -> Result<(Self, Survey), Error> {
        if dir.exists() && !dir.is_dir() {
            return Err(Error::Foreign { path: dir.into() });
        }
        make_dir(dir)?;
        Self::open_with(dir, Access::Write, mode, size_max, shape)
    }

    /// Changes nothing: neither the files nor what lies beside them.
    pub(crate) fn open_to_read(dir: &Path) -> Result<(Self, Survey), Error> {
        if !dir.join(segment::LOCK).is_file() {
            return Err(Error::Foreign { path: dir.into() });
        }
        Self::open_with(dir, Access::Read, Mode::Written, u64::MAX, Shape::USUAL)
    }

    fn open_with(
        dir: &Path,
        access: Access,
        mode: Mode,
        size_max: u64,
        shape: Shape,
    ) -> Result<(Self, Survey), Error> {
        let lock = segment::lock(dir, access)?;
        let mut files = Segment::open_all(dir, access)?;
        let mut salt = None;
        for file in &files {
            match file.face() {
                Face::Newer(format) => return Err(Error::Newer { path: dir.into(), format }),
                Face::Ours { salt: told, .. } => salt = Some(told),
                Face::Blank | Face::Unreadable => {}
            }
        }
        // without any header nothing can be told apart from what was there before: it stays for inspection
        let mut unreadable = Vec::new();
        if salt.is_none() {
            for file in files.extract_if(.., |file| file.face() == Face::Unreadable) {
                if access == Access::Write {
                    file.set_aside();
                }
                unreadable.push(file.path);
            }
        }
        let salt = match salt {
            Some(salt) => salt,
            None => getrandom::u32().map_err(|e| Error::io(dir, "draw a random number", e.into()))?,
        };
        for file in &mut files {
            file.position = match file.face() {
                Face::Ours { position, .. } => position,
                _ => file.guess_position(salt).unwrap_or(0),
            };
            file.used = file.end();
        }
        files.sort_by_key(|file| file.position);
        let (mut survey, end, number) = survey(&files, salt);
        survey.unreadable = unreadable;
        let (segments, mut spares): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| survey.in_use(file));
        let mut segments = VecDeque::from(segments);
        spares.retain(|spare| spare.len >= shape.segment_min);
        if let Some(last) = segments.back_mut() {
            last.used = end;
        }
        let mut log = Self {
            dir: dir.into(),
            mode,
            access,
            size_max: size_max.max(shape.segment_min * 8),
            shape,
            salt,
            cleaned: segments.front().map_or(0, Segment::first_frame),
            segments,
            spares,
            making: None,
            number,
            end,
            last_len: 0,
            unsynced: false,
            failed: false,
            #[cfg(test)]
            fault: None,
            _lock: lock,
        };
        if access == Access::Write {
            log.drop_unused();
        }
        Ok((log, survey))
    }

    /// Hands every sound record to `visit`, in order, with its position.
    pub(crate) fn replay(&self, survey: &Survey, visit: &mut dyn FnMut(u64, &[u8])) {
        for (segment, limit) in self.segments.iter().zip(&survey.limits) {
            let frames = segment.frames();
            walk(&frames, segment.first_frame(), self.salt, &mut |found| match found {
                Found::Frame(header, frame) | Found::Torn(header, frame)
                    if header.number < *limit && header.number <= self.number =>
                {
                    for (offset, record) in records(header, frame, self.salt) {
                        if let Ok(record) = record {
                            visit(header.position + offset, record);
                        }
                    }
                }
                _ => {}
            });
        }
    }

    /// Names what is damaged or missing between the first and the last sound group, and keeps a copy of it beside the store.
    pub(crate) fn inspect(&self, survey: &Survey, found: &mut Recovery) {
        for path in &survey.unreadable {
            found.lose(path.display().to_string(), "the whole file, whose header cannot be read");
        }
        let mut next = None;
        let mut behind = survey.start;
        for (segment, limit) in self.segments.iter().zip(&survey.limits) {
            let place = |position: u64| format!("{}:{}", segment.path.display(), position - segment.position);
            if behind != segment.position {
                found.lose(segment.path.display().to_string(), "the file that came before it");
            }
            behind = segment.end();
            let frames = segment.frames();
            walk(&frames, segment.first_frame(), self.salt, &mut |piece| match piece {
                Found::Frame(header, _) if header.number < *limit => {
                    if let Some(expected) = next.filter(|expected| header.number > *expected) {
                        let groups = format!("groups {expected} to {}", header.number - 1);
                        found.lose(place(header.position), groups);
                    }
                    next = Some(header.number + 1);
                }
                Found::Torn(header, frame) if header.number < *limit && header.number <= self.number => {
                    let sound =
                        records(header, frame, self.salt).filter(|(_, record)| record.is_ok()).count();
                    let damaged = (header.records as usize).saturating_sub(sound);
                    let what =
                        format!("{damaged} of the {} changes of group {}", header.records, header.number);
                    found.lose(place(header.position), what);
                    self.set_aside(header.position, frame);
                    next = Some(header.number + 1);
                }
                Found::Gap { position, len } if position < self.end => {
                    found.lose(place(position), format!("{len} bytes that cannot be read"));
                    let from = usize::try_from(position - segment.first_frame()).unwrap_or(usize::MAX);
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    let bytes = frames.get(from..from.saturating_add(len)).unwrap_or_default();
                    self.set_aside(position, bytes);
                    // the number of what was there is not known, but that it is lost has been said
                    next = None;
                }
                _ => {}
            });
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The number that the next group will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.number + 1
    }

    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let made: u64 = self.segments.iter().chain(&self.spares).map(|segment| segment.len).sum();
        made + self.making.as_ref().map_or(0, |(len, _)| *len)
    }

    /// Begins to make the next spare before it is wanted. There is no need to: what fails here is tried again when it is.
    pub(crate) fn prepare(&mut self) {
        let len = self.segment_len();
        // near the limit what there is room for is left to the group that needs it
        let roomy = self.bytes().saturating_add(len * 4) <= self.size_max;
        let soon = self.segments.back().is_some_and(|last| self.end > last.position + last.len / 2);
        if !soon
            || !roomy
            || self.making.is_some()
            || self.spares.len() > RESERVE
            || self.access == Access::Read
        {
            return;
        }
        let dir = self.dir.clone();
        let maker = std::thread::Builder::new().name("store-spare".into());
        self.making = maker.spawn(move || Segment::create(&dir, len)).ok().map(|thread| (len, thread));
    }

    /// Takes the spare in the making, once it is made.
    fn finish_making(&mut self) {
        if let Some((_, thread)) = self.making.take() {
            self.spares.extend(thread.join().into_iter().flatten());
        }
    }

    /// Whether cleaning all of it would gain much.
    pub(crate) fn is_wasteful(&self, live: u64) -> bool {
        self.used() > live + live / 8 + self.segment_len() * 2
    }

    /// Whether the reserve is whole.
    pub(crate) fn has_reserve(&self) -> bool {
        self.spares.len() > RESERVE
    }

    /// How far the oldest segment has been cleaned.
    pub(crate) fn cleaned(&self) -> u64 {
        self.cleaned
    }

    /// Reads on in the oldest segment, while the log is longer than it should be or room is needed, and hands what is there
    /// to `visit`. Whatever of it is alive has to go into the next group.
    pub(crate) fn clean(&self, live: u64, purpose: Purpose, visit: &mut dyn FnMut(u64, &[u8])) -> Cleaning {
        let mut cleaning = Cleaning { upto: self.cleaned, released: 0 };
        let wanted = (live * 2 + self.shape.slack).min(self.size_max.saturating_sub(self.segment_len() * 4));
        let (Some(oldest), Some(second)) = (self.segments.front(), self.segments.get(1)) else {
            return cleaning;
        };
        if purpose != Purpose::Cleaning && self.used() <= wanted {
            return cleaning;
        }
        let step = self.last_len.min(self.segment_len() / 8) * 2 + self.shape.clean_step;
        let upto = cleaning.upto.saturating_add(step).min(oldest.used);
        while cleaning.upto < upto {
            let Some((header, frame)) = oldest.frame_at(cleaning.upto, self.salt) else {
                // damage, which has been reported
                cleaning.upto = oldest.frame_after(cleaning.upto, self.salt).unwrap_or(oldest.used);
                continue;
            };
            for (offset, record) in records(header, &frame, self.salt) {
                if let Ok(record) = record {
                    visit(header.position + offset, record);
                }
            }
            cleaning.upto = header.position + header.frame_len();
        }
        if cleaning.upto >= oldest.used {
            cleaning = Cleaning { upto: second.first_frame(), released: 1 };
        }
        cleaning
    }

    /// Appends a frame. When this fails, the log is as before.
    pub(crate) fn append(
        &mut self,
        builder: &mut Builder,
        cleaning: Cleaning,
        sessions: u64,
        purpose: Purpose,
    ) -> Result<u64, Error> {
        if self.access == Access::Read {
            return Err(Error::io(&self.dir, "write", io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        self.make_room(builder.len(), purpose)?;
        let start = self.segments.get(cleaning.released).map_or(0, |segment| segment.position);
        let position = self.end;
        let len = builder.len();
        let fill = self.segments.back().map_or(0, |segment| segment.rest_of_page(position + len));
        let (Some(bytes), Some(segment)) =
            (builder.finish_filled(position, start, sessions, fill), self.segments.back_mut())
        else {
            return Err(Error::Full { path: self.dir.clone(), limit: Limit::Size(u32::MAX.into()) });
        };
        // a file may be used anew only when it is safe that it is not needed
        let safe = self.mode == Mode::Durable || cleaning.released > 0;
        let written =
            segment.write(position, bytes).and_then(|()| if safe { segment.sync() } else { Ok(()) });
        #[cfg(test)]
        let written = self.fault.take().map_or(written, Err);
        if let Err(e) = written {
            // what of it is on the disk is not known, and a second sync would not tell
            self.failed = true;
            return Err(e);
        }
        self.unsynced = !safe;
        self.last_len = len;
        self.end += self.last_len;
        segment.used = self.end;
        self.number += 1;
        // the first segment of all may just have been begun
        self.cleaned = self.cleaned.max(cleaning.upto);
        if cleaning.released > 0 {
            self.spares.extend(self.segments.drain(..cleaning.released));
            self.drop_unused();
        }
        Ok(position)
    }

    /// There was nothing to save on the way.
    pub(crate) fn skip(&mut self, cleaning: Cleaning) {
        if cleaning.released == 0 {
            self.cleaned = self.cleaned.max(cleaning.upto);
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if let Some(last) = self.segments.back().filter(|_| self.unsynced) {
            last.sync().inspect_err(|_| self.failed = true)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Sees to it that `len` bytes fit behind `end`.
    fn make_room(&mut self, len: u64, purpose: Purpose) -> Result<(), Error> {
        let fits = self.segments.back().is_some_and(|last| self.end + len <= last.end());
        if fits && !self.failed {
            return Ok(());
        }
        if !self.failed {
            self.flush()?;
        }
        self.finish_making();
        let needed = len + HEADER_LEN;
        let wanted = self.segment_len().max(needed.next_multiple_of(self.shape.segment_min));
        while self.spares.len() <= RESERVE || !self.spares.iter().any(|spare| spare.len >= needed) {
            let added = self.add_spare(wanted);
            let enough = self.spares.len() > purpose.spares_left();
            match added {
                Err(_) if enough && self.spares.iter().any(|spare| spare.len >= needed) => break,
                other => other?,
            }
        }
        self.spares.sort_by_key(|spare| spare.len);
        let Some(taken) = self.spares.iter().position(|spare| spare.len >= needed) else { return Ok(()) };
        let mut segment = self.spares.remove(taken);
        let position = self.segments.back().map_or(self.shape.segment_min, Segment::end);
        if let Err(e) = segment.begin(position, self.salt) {
            drop(segment.remove());
            return Err(e);
        }
        self.end = segment.first_frame();
        segment.used = self.end;
        if self.segments.is_empty() {
            self.cleaned = self.end;
        }
        self.segments.push_back(segment);
        self.failed = false;
        Ok(())
    }

    fn add_spare(&mut self, len: u64) -> Result<(), Error> {
        if self.bytes() + len > self.size_max {
            return Err(Error::Full { path: self.dir.clone(), limit: Limit::Size(self.size_max) });
        }
        self.spares.push(Segment::create(&self.dir, len)?);
        Ok(())
    }

    fn used(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// An eighth of what there is, so that a small store is small and a large one has few files.
    fn segment_len(&self) -> u64 {
        let wanted = (self.used() / 8).min(self.size_max / 16).next_multiple_of(self.shape.segment_min);
        wanted.clamp(self.shape.segment_min, self.shape.segment_max)
    }

    fn drop_unused(&mut self) {
        if self.making.as_ref().is_some_and(|(_, thread)| thread.is_finished()) {
            self.finish_making();
        }
        let wanted = self.segment_len();
        // small ones of the store's youth, and large ones made for one large group
        let segment_max = self.shape.segment_max;
        let unfit = |spare: &Segment| spare.len * 2 < wanted || spare.len > segment_max;
        self.spares.sort_by_key(|spare| (!unfit(spare), spare.len));
        while self.spares.len() > SPARES_MAX
            || (self.spares.len() > RESERVE && self.spares.first().is_some_and(unfit))
        {
            // one that stays is a spare again at the next start
            drop(self.spares.remove(0).remove());
        }
    }

    /// A copy of damaged bytes, for someone to look at; beside the store, once.
    fn set_aside(&self, position: u64, bytes: &[u8]) {
        let mut name = self.dir.as_os_str().to_owned();
        name.push(format!(".damaged-{position}"));
        if self.access == Access::Write && !Path::new(&name).exists() {
            // the damage is reported anyway
            drop(std::fs::write(name, bytes));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // the directory is another's then
        self.finish_making();
    }
}

/// How far the cleaning comes with the next group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cleaning {
    upto: u64,
    /// Segments that hold nothing any more then.
    released: usize,
}

impl Cleaning {
    /// Whether a segment holds nothing any more then.
    pub(crate) fn frees(self) -> bool {
        self.released > 0
    }
}

/// Finds the last sound group: what it says of the whole log counts.
fn survey(files: &[Segment], salt: u32) -> (Survey, u64, u64) {
    let (mut survey, mut last, mut torn) = (Survey::default(), None::<Header>, 0);
    let mut firsts = Vec::new();
    for file in files {
        let mut first = None;
        walk(&file.frames(), file.first_frame(), salt, &mut |found| match found {
            Found::Frame(header, _) => {
                first = first.or(Some(header.number));
                if last.is_none_or(|last| header.number >= last.number) {
                    last = Some(header);
                }
            }
            Found::Torn(header, _) => torn = torn.max(header.number),
            Found::Gap { .. } => {}
        });
        firsts.push(first.unwrap_or(u64::MAX));
    }
    let Some(last) = last else {
        survey.cut = torn > 0;
        return (survey, 0, 0);
    };
    survey.last = last.position;
    (survey.start, survey.sessions, survey.cut) = (last.start, last.sessions, torn > last.number);
    let mut limit = u64::MAX;
    for (file, first) in files.iter().zip(&firsts).rev() {
        if survey.in_use(file) {
            survey.limits.push(limit);
            limit = limit.min(*first);
        }
    }
    survey.limits.reverse();
    (survey, last.position + last.frame_len(), last.number)
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(|e| Error::io(dir, "create", e))
}
