//! From a session's task to a file, without the call ever waiting for the disk.

use std::io;
use std::sync::Arc;

use protocol::{Gap, Mark, Time};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::mixer::{Input, Mixer, Output};
use super::spool::{Spool, Spooled};
use super::{Recordings, wav};
use crate::operations::telemetry;
use crate::records::store::Store;

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
    /// Where the recording begins in the user's timeline: what is before is in the file of another relay.
    from: u32,
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
    /// Frames of silence before it.
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
    /// Begins a recording: its file is in the spool, and its writer among the relay's tasks. Audio of the user before the position `from`
    /// is left out.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn begin(
        tasks: &TaskTracker,
        store: &Arc<dyn Store>,
        recordings: &Arc<Recordings>,
        session_id: &str,
        key: &str,
        agent_rate: u32,
        from: u32,
    ) -> io::Result<Recorder> {
        let mixer = Mixer::new(agent_rate).map_err(io::Error::other)?;
        let spooled = recordings.spool.begin(key)?;
        let (recorder, blocks, used) = Recorder::new(session_id, mixer, from);
        let (store, recordings) = (Arc::clone(store), Arc::clone(recordings));
        tasks.spawn(async move {
            let session_id = spooled.key.clone();
            match write(&recordings.spool, spooled, blocks, used).await {
                Ok(spooled) => drop(recordings.carry(spooled, &*store).await),
                Err(error) => tracing::error!(key = %session_id, %error, "a recording cannot be finished"),
            }
        });
        Ok(recorder)
    }

    fn new(
        session_id: &str,
        mixer: Mixer,
        from: u32,
    ) -> (Recorder, mpsc::Receiver<Block>, mpsc::Sender<Vec<u8>>) {
        let (writer, blocks) = mpsc::channel(BLOCKS);
        let (done, used) = mpsc::channel(BLOCKS);
        let recorder = Recorder {
            session_id: session_id.to_owned(),
            mixer,
            from,
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
        let is_gone = matches!(input, Input::Connected(false));
        while let Some(output) = self.mixer.poll_output() {
            match output {
                Output::Frames(frames) => {
                    for sample in frames {
                        self.block.audio.extend_from_slice(&sample.to_le_bytes());
                    }
                }
                Output::Silence(frames) if self.block.audio.is_empty() => self.block.silence += frames,
                Output::Silence(frames) => {
                    self.hand_over();
                    self.block.silence += frames;
                }
            }
            if self.block.audio.len() >= BLOCK_BYTES || self.block.silence >= BLOCK_FRAMES as u64 {
                self.hand_over();
            }
        }
        // A relay that is killed meanwhile loses nothing.
        if is_gone && self.has_rest() {
            self.hand_over();
        }
    }

    /// Audio of the user came, which begins here.
    pub(crate) fn handle_audio(&mut self, now: Time, mark: Mark, payload: &[u8]) {
        let known = self.from.saturating_sub(mark.position) as usize * 2;
        if let Some(news) = payload.get(known..).filter(|news| !news.is_empty()) {
            self.handle_input(now, Input::User(news));
        }
    }

    /// Audio of the user will never come.
    pub(crate) fn handle_gap(&mut self, now: Time, gap: Gap) {
        let lost = gap.to.position.saturating_sub(gap.from.position.max(self.from));
        if lost > 0 {
            self.handle_input(now, Input::Gap(lost));
        }
    }

    fn has_rest(&self) -> bool {
        self.state != State::Over && (!self.block.audio.is_empty() || self.block.silence > 0)
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
                // Silence waits without loss.
                if self.state == State::Good && frames > 0 {
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
        if self.has_rest() {
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
        if let Err(error) = append(spool, &mut file, &block).await {
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

/// Writes a block in small parts, each of them only if there is room for it.
async fn append(spool: &Spool, file: &mut File, block: &Block) -> io::Result<()> {
    let mut silence = block.silence * wav::FRAME_BYTES;
    while silence > 0 {
        let length = silence.min(BLOCK_BYTES as u64);
        spool.check_room()?;
        file.write_all(&[0; BLOCK_BYTES][..length as usize]).await?;
        silence -= length;
    }
    for part in block.audio.chunks(BLOCK_BYTES) {
        spool.check_room()?;
        file.write_all(part).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> (Recorder, mpsc::Receiver<Block>, mpsc::Sender<Vec<u8>>) {
        Recorder::new("a", Mixer::new(16_000).expect("a usual rate"), 0)
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
    async fn there_is_room_for_every_part_that_is_written_or_it_is_not_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let roomy = Spool::create(dir.path(), 0).expect("a folder");
        let full = Spool::create(dir.path(), u64::MAX).expect("the same");
        let silence = Block { silence: 60 * 16_000, audio: Vec::new() };
        for (spool, written) in [(&roomy, 60 * 16_000 * wav::FRAME_BYTES), (&full, 0)] {
            let spooled = roomy.begin("a/1.wav").expect("room");
            let mut file = File::from_std(spooled.file.try_clone().expect("a handle"));
            file.seek(io::SeekFrom::End(0)).await.expect("there");
            assert_eq!(append(spool, &mut file, &silence).await.is_ok(), written > 0);
            file.flush().await.expect("written");
            let length = spooled.file.metadata().expect("a file").len();
            assert_eq!(length - wav::HEADER_BYTES, written);
        }
    }

    #[tokio::test]
    async fn gaps_without_end_are_a_number_in_memory_and_end_with_the_present() {
        let (mut recorder, mut blocks, _done) = recorder();
        let mark = |position| Mark { seq: 0, position };
        recorder.handle_input(Time::ZERO, Input::Connected(true));
        for n in 1..=1_000_u32 {
            let gap = Gap { from: mark((n - 1) * 960_000), to: mark(n * 960_000) };
            recorder.handle_gap(Time::from_micros(10_000 * u64::from(n)), gap);
        }
        drop(recorder);
        let mut frames = 0;
        while let Ok(block) = blocks.try_recv() {
            frames += block.silence + block.audio.len() as u64 / wav::FRAME_BYTES;
            assert!(block.audio.capacity() <= BLOCK_BYTES + 8_000);
        }
        assert_eq!(frames, 10 * 16_000, "ten seconds have passed");
    }

    #[tokio::test]
    async fn what_the_relay_before_has_recorded_is_left_out_to_the_sample() {
        let mixer = Mixer::new(16_000).expect("a usual rate");
        let (mut recorder, mut blocks, _done) = Recorder::new("a", mixer, 2_000);
        recorder.handle_input(Time::ZERO, Input::Connected(true));
        for seq in 0..4_u32 {
            let mark = Mark { seq, position: seq * 1_600 };
            let payload: Vec<u8> =
                (0..1_600).flat_map(|i| ((seq * 1_600 + i) as i16).to_le_bytes()).collect();
            recorder.handle_audio(Time::ZERO, mark, &payload);
        }
        drop(recorder);
        let block = blocks.try_recv().expect("one");
        let left: Vec<i16> =
            block.audio.chunks_exact(4).map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect();
        assert_eq!(left, (2_000..6_400).collect::<Vec<i16>>());
        assert_eq!(block.silence, 0);
    }

    #[tokio::test]
    async fn a_writer_that_gave_up_is_not_asked_again() {
        let (mut recorder, blocks, _done) = recorder();
        drop(blocks);
        recorder.handle_input(Time::from_micros(0), Input::User(&[0; 400_000]));
        assert_eq!(recorder.state, State::Over);
    }
}
