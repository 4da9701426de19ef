//! Verdicts in Redis: one stream, bounded in length and time.

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use scheduler::Timestamp;

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::verdicts::{Place, Teller, VERDICT_LIFE, VERDICTS, Verdict, Verdicts};

const KEY: &str = "crosspoint:{verdicts}";

#[derive(Debug)]
pub(super) struct Scripts {
    verdicts: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { verdicts: Script::new(include_str!("verdicts.lua")) }
    }

    fn invoke(&self, verb: &str, who: Teller) -> ScriptInvocation<'_> {
        let mut script = self.verdicts.key(KEY);
        script.arg(verb).arg(milliseconds(VERDICT_LIFE)).arg(VERDICTS).arg(who.0);
        script
    }
}

/// Reads what anybody may have written.
fn read(fields: &[Vec<u8>]) -> Option<Verdict> {
    let text = |field: &Vec<u8>| String::from_utf8(field.clone()).ok();
    let [node, opened, failed] = fields else { return None };
    Some(Verdict {
        node: text(node)?.parse().ok()?,
        opened: text(opened)?.parse().ok()?,
        failed: text(failed)?.parse().ok()?,
    })
}

#[async_trait]
impl Verdicts for Redis {
    async fn tell(&self, teller: Teller, verdicts: &[Verdict], _now: Timestamp) -> Result<(), StoreAway> {
        let mut script = self.verdicts.invoke("tell", teller);
        for Verdict { node, opened, failed } in verdicts.iter().take(VERDICTS) {
            script.arg(node.as_str()).arg(*opened).arg(*failed);
        }
        self.run::<(String, Vec<Vec<u8>>)>(&script).await.map(drop)
    }

    async fn told_since(
        &self,
        place: &Place,
        listener: Teller,
        _now: Timestamp,
    ) -> Result<(Vec<Verdict>, Place), StoreAway> {
        let mut script = self.verdicts.invoke("read", listener);
        let (last, told): (String, Vec<Vec<u8>>) = self.run(script.arg(&place.0)).await?;
        Ok((told.chunks(3).filter_map(read).collect(), Place(last)))
    }
}
