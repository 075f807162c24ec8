//! Sound that grows at its end and is forgotten from its beginning, in blocks, so that none of it is moved and no room is kept for more of it.

use std::collections::VecDeque;

/// Samples of a block: 24 ms. It has 768 bytes, for which the allocator has a room of just this size.
const BLOCK: usize = 384;
/// Blocks for which there is always room: more than are kept while nobody speaks.
const QUIET_BLOCKS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// All but the last are full.
    blocks: VecDeque<Vec<i16>>,
    /// The block that was last forgotten, which is the next one: while nobody speaks, as much is forgotten as comes.
    spare: Option<Vec<i16>>,
    /// Samples of the first block that are forgotten.
    forgotten: usize,
    length: usize,
}

impl Tape {
    /// Adds samples at the end.
    pub(super) fn push(&mut self, mut samples: &[i16]) {
        self.length += samples.len();
        while !samples.is_empty() {
            if self.blocks.back().is_none_or(|block| block.len() == BLOCK) {
                self.blocks.push_back(self.spare.take().unwrap_or_else(|| Vec::with_capacity(BLOCK)));
            }
            let Some(block) = self.blocks.back_mut() else { return };
            let (more, rest) = samples.split_at(samples.len().min(BLOCK - block.len()));
            block.extend_from_slice(more);
            samples = rest;
        }
    }

    /// Forgets so many of the first samples, or all.
    pub(super) fn forget(&mut self, samples: usize) {
        if samples >= self.length {
            *self = Tape::default();
            return;
        }
        let end = self.forgotten + samples;
        if end >= BLOCK {
            self.spare = self.blocks.drain(..end / BLOCK).next_back();
            self.spare.iter_mut().for_each(Vec::clear);
            self.blocks.shrink_to(QUIET_BLOCKS);
        }
        self.forgotten = end % BLOCK;
        self.length -= samples;
    }

    /// Cuts off so many of the first samples, or all.
    pub(super) fn take(&mut self, samples: usize) -> Tape {
        if samples >= self.length {
            return std::mem::take(self);
        }
        let end = self.forgotten + samples;
        let mut blocks: VecDeque<_> = self.blocks.drain(..end / BLOCK).collect();
        let shared = self.blocks.front().map(|block| &block[..end % BLOCK]);
        blocks.extend(shared.filter(|shared| !shared.is_empty()).map(<[i16]>::to_vec));
        let taken = Tape { blocks, spare: None, forgotten: self.forgotten, length: samples };
        self.forgotten = end % BLOCK;
        self.length -= samples;
        taken
    }

    /// Samples that follow the forgotten ones without a break: at least one, unless the tape is empty.
    pub(super) fn first(&self) -> &[i16] {
        self.blocks.front().map_or(&[], |block| &block[self.forgotten..])
    }

    /// All of it in one piece.
    pub(super) fn into_samples(self) -> Vec<i16> {
        let mut samples = Vec::with_capacity(self.length);
        for (number, block) in self.blocks.into_iter().enumerate() {
            samples.extend_from_slice(if number == 0 { &block[self.forgotten..] } else { &block });
        }
        samples.truncate(self.length);
        samples
    }

    /// Samples.
    pub(super) fn len(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(mut tape: Tape) -> Vec<i16> {
        let mut samples = Vec::new();
        while tape.len() > 0 {
            let first = tape.first().to_vec();
            assert!(!first.is_empty());
            samples.extend_from_slice(&first);
            tape.forget(first.len());
        }
        samples
    }

    #[test]
    fn what_goes_in_comes_out_in_order_wherever_it_is_cut() {
        let sound: Vec<i16> = (0..2_000).collect();
        for piece in [1, 160, BLOCK - 1, BLOCK, BLOCK + 1, 1_600] {
            for (forgotten, taken) in
                [(0, 0), (0, 400), (1, 399), (399, 2), (401, 800), (800, 1_200), (7, 5_000)]
            {
                let mut tape = Tape::default();
                sound.chunks(piece).for_each(|samples| tape.push(samples));
                tape.forget(forgotten);
                let front = tape.take(taken);
                tape.push(&sound[..500]);
                let end = (forgotten + taken).min(sound.len());
                assert_eq!(front.len(), end - forgotten);
                assert_eq!(samples(front), sound[forgotten..end], "{piece}, {forgotten}, {taken}");
                assert_eq!(
                    samples(tape),
                    [&sound[end..], &sound[..500]].concat(),
                    "{piece}, {forgotten}, {taken}"
                );
            }
        }
    }

    #[test]
    fn what_is_forgotten_takes_no_room() {
        let mut tape = Tape::default();
        for _ in 0..10_000 {
            tape.push(&[7; 160]);
            tape.forget(tape.len().saturating_sub(9_600));
            let room: usize = tape.blocks.iter().map(Vec::capacity).sum();
            assert!(room <= 9_600 + 2 * BLOCK, "{room}");
        }
    }
}
