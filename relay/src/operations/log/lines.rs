//! Lines on their way out of the process, which a thread of their own writes.
//!
//! A full disk, a reader that is gone and a pipe that nobody reads take nothing but lines: who logs neither waits nor fails. (The
//! library `tracing-appender` tells of its own troubles by `eprintln!`, which waits for that pipe and panics without a reader.)

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What may wait to be written. More is dropped: some 5,000 lines, which a reader that is only slow takes in a moment.
const WAITING_MAX_BYTES: usize = 1024 * 1024;

/// Writes whole lines, one after another.
#[derive(Debug, Default)]
pub(super) struct Lines {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether a line is being written, which may take for ever.
    writes: bool,
    /// Lines that nobody will see.
    dropped: u64,
}

impl Lines {
    /// Starts the thread that writes.
    pub(super) fn start(out: impl Write + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        let writer = Arc::clone(&lines);
        thread::spawn(move || writer.write_to(out));
        lines
    }

    /// Hands over a line with its end, or drops it if too many wait already.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes + line.len() > WAITING_MAX_BYTES {
            queue.dropped += 1;
            return;
        }
        queue.bytes += line.len();
        queue.waiting.push_back(line.to_vec());
        drop(queue);
        self.changed.notify_all();
    }

    /// Waits until everything is written, but no longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let queue = self.lock();
        let is_busy = |queue: &mut Queue| queue.writes || !queue.waiting.is_empty();
        drop(self.changed.wait_timeout_while(queue, patience, is_busy));
    }

    /// How many lines nobody will see.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn write_to(&self, mut out: impl Write) -> ! {
        // Whether the last line was cut off: the next one begins a line of its own.
        let mut is_torn = false;
        loop {
            let mut line = self.next();
            if is_torn {
                line.insert(0, b'\n');
            }
            let (written, done) = write(&mut out, &line);
            is_torn = if written == 0 { is_torn } else { written < line.len() };
            let mut queue = self.lock();
            queue.dropped += u64::from(done.is_err());
            queue.writes = false;
            drop(queue);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Vec<u8> {
        let queue = self.lock();
        let waited = self.changed.wait_while(queue, |queue| queue.waiting.is_empty());
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        let line = queue.waiting.pop_front().unwrap_or_default();
        queue.bytes -= line.len();
        queue.writes = true;
        line
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes as much of it as can be written, and says how much that was.
fn write(out: &mut impl Write, line: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < line.len() {
        match out.write(&line[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, out.flush())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Takes so many bytes at a time as it is told; 0 is an error. Waits to be told.
    struct Device {
        may: Receiver<usize>,
        got: Sender<Vec<u8>>,
    }

    impl Write for Device {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.may.recv() {
                Ok(0) | Err(_) => Err(io::ErrorKind::StorageFull.into()),
                Ok(may) => {
                    let taken = bytes.len().min(may);
                    // The test may be over.
                    let _ = self.got.send(bytes[..taken].to_vec());
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_is_cut_off_is_dropped_and_does_not_spoil_the_next() {
        let (let_write, may) = channel();
        let (got, taken) = channel();
        let lines = Lines::start(Device { may, got });
        for bytes in [3, 0, 0, 100, 100] {
            let_write.send(bytes).expect("it listens");
        }
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            lines.push(line.as_bytes());
        }
        lines.flush(PATIENCE);
        assert_eq!(taken.try_iter().collect::<Vec<_>>().concat(), b"fir\nthird\nfourth\n");
        assert_eq!(lines.dropped(), 2);
    }

    #[test]
    fn whoever_logs_waits_for_nobody_and_holds_no_more_than_the_bound() {
        let (let_write, may) = channel();
        let (got, taken) = channel();
        let lines = Lines::start(Device { may, got });
        let line = [b'x'; 1_024];
        let many = WAITING_MAX_BYTES / line.len() * 2;
        for _ in 0..many {
            lines.push(&line);
        }
        lines.flush(Duration::from_millis(10));
        let dropped = usize::try_from(lines.dropped()).expect("few");
        // One of them may be on its way.
        assert!((many / 2 - 1..=many / 2).contains(&dropped), "{dropped} of {many}");
        for _ in 0..many - dropped {
            let_write.send(line.len()).expect("it listens");
        }
        lines.flush(PATIENCE);
        assert_eq!(taken.try_iter().count(), many - dropped, "all that were kept");
    }
}
