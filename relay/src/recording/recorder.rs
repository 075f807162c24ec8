//! From a session's task to a file, without the call ever waiting for the disk.

use std::io;
use std::sync::Arc;

use protocol::Time;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::mixer::{Input, Mixer};
use super::spool::{Spool, Spooled};
use super::{Recordings, wav};
use crate::{App, telemetry};

/// Frames that are handed over at once: half a second.
const BLOCK_FRAMES: usize = 8_000;
const BLOCK_BYTES: usize = BLOCK_FRAMES * wav::FRAME_BYTES as usize;
/// Blocks that may wait for the disk: 10 s, 640 KB a session.
const BLOCKS: usize = 20;

/// Records one session. Dropped, it ends the recording: the file is finished and carried to its place.
#[derive(Debug)]
pub struct Recorder {
    session_id: String,
    mixer: Mixer,
    /// What was mixed and is not handed over yet.
    block: Block,
    writer: mpsc::Sender<Block>,
    /// Memory that the writer is done with.
    used: mpsc::Receiver<Vec<u8>>,
    now: Time,
    state: State,
}

/// A piece of the file.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Frames before it that were dropped: silence.
    silence: u64,
    audio: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Audio was dropped.
    Late,
    /// The writer gave up.
    Over,
}

impl Recorder {
    /// Begins a recording: its file is in the spool, and its writer among the relay's tasks.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn begin(
        app: &Arc<App>,
        recordings: &Arc<Recordings>,
        session_id: &str,
        key: &str,
        agent_rate: u32,
    ) -> io::Result<Recorder> {
        let mixer = Mixer::new(agent_rate).map_err(io::Error::other)?;
        let spooled = recordings.spool.begin(key)?;
        let (recorder, blocks, used) = Recorder::new(session_id, mixer);
        let (app_, recordings) = (Arc::clone(app), Arc::clone(recordings));
        app.tasks.spawn(async move {
            let session_id = spooled.key.clone();
            match write(&recordings.spool, spooled, blocks, used).await {
                Ok(spooled) => drop(recordings.carry(spooled, &*app_.store).await),
                Err(error) => tracing::error!(key = %session_id, %error, "a recording cannot be finished"),
            }
        });
        Ok(recorder)
    }

    fn new(session_id: &str, mixer: Mixer) -> (Recorder, mpsc::Receiver<Block>, mpsc::Sender<Vec<u8>>) {
        let (writer, blocks) = mpsc::channel(BLOCKS);
        let (done, used) = mpsc::channel(BLOCKS);
        let recorder = Recorder {
            session_id: session_id.to_owned(),
            mixer,
            block: Block::default(),
            writer,
            used,
            now: Time::from_micros(0),
            state: State::Good,
        };
        (recorder, blocks, done)
    }

    /// One thing happened in the call. Never waits.
    pub(crate) fn handle_input(&mut self, now: Time, input: Input<'_>) {
        if self.state == State::Over {
            return;
        }
        self.now = now;
        self.mixer.handle_input(now, input);
        while let Some(frames) = self.mixer.poll_output() {
            for sample in frames {
                self.block.audio.extend_from_slice(&sample.to_le_bytes());
            }
            if self.block.audio.len() >= BLOCK_BYTES {
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        match self.writer.try_send(std::mem::take(&mut self.block)) {
            Ok(()) => {
                self.block.audio = self.used.try_recv().unwrap_or_default();
                self.block.audio.clear();
            }
            Err(mpsc::error::TrySendError::Full(block)) => {
                let frames = block.audio.len() as u64 / wav::FRAME_BYTES;
                telemetry::recording_dropped(frames);
                if self.state == State::Good {
                    tracing::error!(session = %self.session_id, "the disk is too slow: the recording has gaps");
                    self.state = State::Late;
                }
                self.block = Block { silence: block.silence + frames, audio: block.audio };
                self.block.audio.clear();
            }
            // The writer has said why.
            Err(mpsc::error::TrySendError::Closed(_)) => self.state = State::Over,
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.handle_input(self.now, Input::End);
        if self.state != State::Over && !self.block.audio.is_empty() {
            self.hand_over();
        }
    }
}

/// Writes blocks until there are no more, or no more can be written.
async fn write(
    spool: &Spool,
    spooled: Spooled,
    mut blocks: mpsc::Receiver<Block>,
    used: mpsc::Sender<Vec<u8>>,
) -> io::Result<Spooled> {
    let mut file = File::from_std(spooled.file.try_clone()?);
    file.seek(io::SeekFrom::Start(wav::HEADER_BYTES)).await?;
    while let Some(block) = blocks.recv().await {
        let written = match spool.check_room() {
            Ok(()) => append(&mut file, &block).await,
            Err(full) => Err(full),
        };
        if let Err(error) = written {
            tracing::error!(key = %spooled.key, %error, "the recording stops here");
            break;
        }
        // If nobody takes it back it is freed.
        let _ = used.try_send(block.audio);
    }
    // What was written before an error is kept, and the rest of the file is made a whole number of frames.
    let _ = file.flush().await;
    Ok(spooled)
}

async fn append(file: &mut File, block: &Block) -> io::Result<()> {
    let mut silence = block.silence * wav::FRAME_BYTES;
    while silence > 0 {
        let length = silence.min(BLOCK_BYTES as u64);
        file.write_all(&[0; BLOCK_BYTES][..length as usize]).await?;
        silence -= length;
    }
    file.write_all(&block.audio).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> (Recorder, mpsc::Receiver<Block>, mpsc::Sender<Vec<u8>>) {
        Recorder::new("a", Mixer::new(16_000).expect("a usual rate"))
    }

    #[tokio::test]
    async fn a_disk_that_does_not_write_costs_audio_and_neither_time_nor_memory() {
        let (mut recorder, mut blocks, _done) = recorder();
        let second = 5_i16.to_le_bytes().repeat(16_000);
        let mut wanted = 0;
        for _ in 0..100 {
            recorder.handle_input(Time::from_micros(0), Input::User(&second));
            wanted += 16_000;
        }
        assert_eq!((recorder.state, blocks.len()), (State::Late, BLOCKS));
        let mut frames = 0;
        let mut take = |block: Block| {
            assert!(block.audio.len() < BLOCK_BYTES + 8_000);
            frames += block.silence + block.audio.len() as u64 / wav::FRAME_BYTES;
            block.silence
        };
        for _ in 0..BLOCKS {
            assert_eq!(take(blocks.try_recv().expect("one that waited")), 0);
        }
        drop(recorder);
        assert!(take(blocks.try_recv().expect("the rest, with the gap before it")) > 80 * 16_000);
        while let Ok(block) = blocks.try_recv() {
            take(block);
        }
        assert_eq!(frames, wanted, "times stay right");
    }

    #[tokio::test]
    async fn a_recording_stops_when_the_disk_is_almost_full_and_what_is_written_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let roomy = Spool::create(dir.path(), 0).expect("a folder");
        let full = Spool::create(dir.path(), u64::MAX).expect("the same");
        assert_eq!(full.begin("a/1.wav").expect_err("full").kind(), io::ErrorKind::StorageFull);
        for (spool, written) in [(&roomy, BLOCK_BYTES as u64), (&full, 0)] {
            let (mut recorder, blocks, done) = recorder();
            let spooled = roomy.begin("a/1.wav").expect("room");
            recorder
                .handle_input(Time::from_micros(0), Input::User(&5_i16.to_le_bytes().repeat(BLOCK_FRAMES)));
            drop(recorder);
            let spooled = write(spool, spooled, blocks, done).await.expect("finished");
            let length = spooled.file.metadata().expect("a file").len();
            assert_eq!(length - wav::HEADER_BYTES, written);
        }
    }

    #[tokio::test]
    async fn a_writer_that_gave_up_is_not_asked_again() {
        let (mut recorder, blocks, _done) = recorder();
        drop(blocks);
        recorder.handle_input(Time::from_micros(0), Input::User(&[0; 400_000]));
        assert_eq!(recorder.state, State::Over);
    }
}
