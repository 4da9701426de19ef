//! Containers: the caller's stream cut into units, and made a valid stream of its own for every leg, the first one too.
//! What cannot be cut goes to nodes as it comes.

use std::num::NonZeroU32;

use audio::{LegWriter, SplitError, Splitter};
use bytes::Bytes;
use relay::Frame;
use scheduler::Timestamp;
use session::{Session, Unit, UnitKind};
use thiserror::Error;

use super::Pump;
use super::ear::Ear;

/// The most bytes that may come before the first sound: a header, and perhaps a picture.
const MOST_BEFORE_SOUND: usize = 256 << 10;

/// Cuts one caller's stream.
#[derive(Debug)]
pub(crate) struct Cutter {
    splitter: Splitter,
    stage: Stage,
    ear: Option<Ear>,
}

/// How far the stream has come.
#[derive(Debug)]
enum Stage {
    /// No sound yet: it may turn out that it cannot be cut, and then goes on as it came.
    Header { came: Vec<u8>, units: Vec<(audio::Unit, Vec<u8>)> },
    /// Units go to the session: so many of the bytes that came last.
    Sound { units: usize },
}

/// Why a stream is not cut, or not any further.
#[derive(Debug, Error)]
enum Uncut {
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error("there is no sound in its first {MOST_BEFORE_SOUND} bytes")]
    LateSound,
    #[error("it ends before its sound begins")]
    NoSound,
    #[error("too little of it fits into stream.ring_bytes")]
    TooWide,
}

impl Default for Cutter {
    fn default() -> Self {
        let stage = Stage::Header { came: Vec::new(), units: Vec::new() };
        Self { splitter: Splitter::sniff(), stage, ear: None }
    }
}

impl Cutter {
    /// Cuts the next bytes, hands the session what is whole, and returns how many bytes it has taken in.
    fn push(&mut self, bytes: &[u8], session: &mut Session, now: Timestamp) -> Result<usize, Uncut> {
        let Stage::Sound { units } = &mut self.stage else { return self.push_header(bytes, session, now) };
        *units = 0;
        let split = self.splitter.push(bytes, |unit, bytes| {
            *units += 1;
            keep((unit, bytes), &mut self.ear, session, now);
        });
        self.splitter.forget_before(session.kept_from());
        split?;
        Ok(bytes.len())
    }

    /// Waits for the first sound: until then it may turn out that the stream cannot be cut.
    fn push_header(&mut self, bytes: &[u8], session: &mut Session, now: Timestamp) -> Result<usize, Uncut> {
        let Stage::Header { came, units } = &mut self.stage else { return Ok(0) };
        came.extend_from_slice(bytes);
        let split = self.splitter.push(bytes, |unit, bytes| units.push((unit, bytes.to_vec())));
        let is_sound = units.iter().any(|(unit, _)| unit.samples > 0);
        if split.is_err() || !is_sound {
            split?;
            return if came.len() > MOST_BEFORE_SOUND { Err(Uncut::LateSound) } else { Ok(0) };
        }
        let (came, units) = (came.len(), std::mem::take(units));
        self.begin(session)?;
        self.stage = Stage::Sound { units: units.len() };
        units.iter().for_each(|(unit, bytes)| keep((*unit, bytes), &mut self.ear, session, now));
        Ok(came)
    }

    /// Counts the units that were whole in the bytes that came last.
    fn whole_units(&self) -> usize {
        match &self.stage {
            Stage::Header { .. } => 0,
            Stage::Sound { units } => *units,
        }
    }

    /// Tells the session what the header has told.
    fn begin(&mut self, session: &mut Session) -> Result<(), Uncut> {
        let rate = self.splitter.clock().ok_or(Uncut::LateSound)?;
        let samples = NonZeroU32::new(rate.hertz()).ok_or(Uncut::LateSound)?;
        let decoder = self.splitter.wav_decoder();
        let bytes_per_second =
            decoder.as_ref().map(|decoder| u64::from(rate.hertz()) * decoder.bytes_per_frame() as u64);
        self.ear = decoder.map(|decoder| Ear::decoding(decoder, rate));
        let cuts = session.cuts_into_units(samples, self.splitter.preroll(), bytes_per_second);
        if cuts { Ok(()) } else { Err(Uncut::TooWide) }
    }
}

/// Hands a unit to the session, and to the ear if it is raw sound.
fn keep((unit, bytes): (audio::Unit, &[u8]), ear: &mut Option<Ear>, session: &mut Session, now: Timestamp) {
    if let (Some(ear), audio::UnitKind::Frames) = (ear, unit.kind) {
        ear.hear(bytes, session);
    }
    let kind = match unit.kind {
        audio::UnitKind::Header => UnitKind::Header,
        audio::UnitKind::Frames | audio::UnitKind::Packets => UnitKind::Whole,
        audio::UnitKind::Continued => UnitKind::Rest,
    };
    session.caller_unit(Unit { start: unit.start, samples: unit.samples, kind }, bytes, now);
}

/// Makes units part of a leg's own stream, which begins with the first of them.
pub(super) fn write(units: &[(Unit, Bytes)], writer: &mut Option<LegWriter>, cutter: Option<&Cutter>) -> Vec<u8> {
    let mut out = Vec::new();
    for (unit, bytes) in units {
        let kind = match unit.kind {
            UnitKind::Header => audio::UnitKind::Header,
            UnitKind::Whole => audio::UnitKind::Packets,
            UnitKind::Rest => audio::UnitKind::Continued,
        };
        let unit = audio::Unit { start: unit.start, samples: unit.samples, kind };
        let begun = || cutter.and_then(|cutter| cutter.splitter.restart(unit, &mut out));
        let mut leg = writer.take().or_else(begun).unwrap_or_default();
        leg.write(unit, bytes, &mut out);
        *writer = Some(leg);
    }
    out
}

impl Pump {
    /// Cuts audio, or stops cutting.
    pub(super) fn cut(&mut self, mut cutter: Box<Cutter>, audio: &Frame) {
        let now = self.shared.now();
        self.session.caller_held(now);
        match cutter.push(audio.payload(), &mut self.session, now) {
            Ok(taken) => {
                self.session.caller_sent(taken, now);
                self.cutter = Some(cutter);
            }
            Err(why) => self.stop_cutting(&cutter, audio, &why),
        }
    }

    /// Lets a stream without sound end as it is: what its node says of it is true.
    pub(super) fn send_what_was_held(&mut self) {
        let held =
            self.cutter.take_if(|cutter| matches!(&cutter.stage, Stage::Header { came, .. } if !came.is_empty()));
        if let Some(cutter) = held {
            self.stop_cutting(&cutter, &Frame::binary(b""), &Uncut::NoSound);
        }
    }

    /// Passes a stream on as it comes from now on.
    fn stop_cutting(&mut self, cutter: &Cutter, audio: &Frame, why: &Uncut) {
        let now = self.shared.now();
        match &cutter.stage {
            Stage::Header { came, .. } => self.pass_on_audio(Frame::binary(came)),
            Stage::Sound { .. } => {
                let rest = self.session.stop_cutting(now);
                let serving = self.session.serving();
                if let Some(leg) = self.legs.iter_mut().find(|leg| Some(leg.epoch) == serving) {
                    rest.iter().for_each(|outgoing| leg.send(outgoing, Some(cutter)));
                }
                match cutter.whole_units() {
                    0 => self.pass_on_audio(audio.clone()),
                    // What was whole in it is on its way; what was not has no place any more.
                    _ => self.session.caller_sent(audio.payload().len(), now),
                }
            }
        }
        self.record.uncut(self.session.failover(), why);
    }
}
