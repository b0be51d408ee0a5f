//! How much memory messages and unsent bytes take: counted where they come and go, in a plain variable of each thread.
//!
//! A message lives as long as the last queue, store or stream that needs it, and may end on another thread than it began
//! on. So one thread's number alone means nothing, but the sum of all is exact, and nothing is shared to keep it.

use std::cell::Cell;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that messages and unsent output have grown by on this thread since it was last asked; less where they have shrunk.
/// What all threads have said together is what all of it takes.
pub fn take_held() -> i64 {
    HELD.take()
}

#[inline]
pub(crate) fn grow(bytes: usize) {
    HELD.set(HELD.get().wrapping_add_unsigned(bytes as u64));
}

#[inline]
pub(crate) fn shrink(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub_unsigned(bytes as u64));
}
