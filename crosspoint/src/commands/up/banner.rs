//! What `crosspoint up` says when it is ready: the nodes with their pids, the key, the addresses, three things to try.

use std::fmt::Write;
use std::net::SocketAddr;

use scheduler::Pool;
use store::Secret;

use super::nodes::{Fleet, Node};
use crate::config::Config;
use crate::table::{Column, render};
use crate::terminal::{Paint, Style};

/// Where everything is.
pub(super) struct Banner {
    pub(super) key: Secret,
    pub(super) caller: SocketAddr,
    pub(super) tls: Option<SocketAddr>,
    pub(super) admin: SocketAddr,
    pub(super) metrics: SocketAddr,
}

const COLUMNS: [Column; 7] = [
    Column::Left("POOL"),
    Column::Left("NODE"),
    Column::Right("PID"),
    Column::Left("ENGINE"),
    Column::Right("LINK"),
    Column::Right("NODE-HOUR"),
    Column::Right("EGRESS/GB"),
];

impl Banner {
    /// Writes it for people.
    pub(super) fn words(&self, fleet: &Fleet, config: &Config) -> String {
        let paint = Paint::stdout();
        let rows = fleet.nodes().iter().filter_map(|node| {
            config.pools.iter().find(|pool| pool.name.as_str() == node.pool).map(|pool| row(node, pool))
        });
        let mut text = render(&COLUMNS, rows, paint);
        let bold = |words: &str| paint.paint(Style::Bold, words);
        let key = self.key.expose();
        let secure = self.tls.map_or_else(String::new, |address| format!(" and https://{address}"));
        let _ = write!(
            text,
            "\n{} http://{}{secure}   (Deepgram SDKs: http:// for files, ws:// for streams)\n{} {key}\n{} http://{}   metrics http://{}/metrics\n\n",
            bold("proxy "),
            self.caller,
            bold("key   "),
            bold("admin "),
            self.admin,
            self.metrics,
        );
        let _ = writeln!(text, "{}", bold("Try, in another terminal:"));
        let _ = writeln!(text, "  export CROSSPOINT_KEY={key}");
        let (url, router) = (self.url(), self.router());
        let _ = writeln!(text, "  crosspoint transcribe{url}{router} --stream FILE.wav");
        let _ = writeln!(text, "  crosspoint transcribe{url}{router} --format srt FILE.wav");
        let _ = writeln!(text, "  crosspoint nodes{router}      then kill a PID and transcribe again");
        let _ = write!(text, "\nStop with Ctrl-C.");
        text
    }

    /// The option that the commands need, if the address is not the usual one.
    fn url(&self) -> String {
        if self.caller == proxy::Config::default().listen {
            String::new()
        } else {
            format!(" --url http://{}", self.caller)
        }
    }

    fn router(&self) -> String {
        if self.admin == router::Config::default().admin {
            String::new()
        } else {
            format!(" --router http://{}", self.admin)
        }
    }
}

fn row(node: &Node, pool: &Pool) -> Vec<String> {
    vec![
        node.pool.clone(),
        node.name.clone(),
        node.pid.to_string(),
        node.engine.to_string(),
        humantime::format_duration(pool.link.round_trip).to_string(),
        format!("${:.2}", pool.price.node_hour.dollars()),
        format!("${:.2}", pool.price.egress_gb.dollars()),
    ]
}
