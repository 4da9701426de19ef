//! A file whose caller hears of it while it is heard: the work goes on for as long as somebody reads what comes of it.

use std::pin::Pin;

use tokio::sync::mpsc;

use crate::delivery::News;

/// News that may wait for a slow reader; then the file waits.
const WAITING: usize = 16;

/// Work that tells how it goes.
pub(super) struct Following<T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    news: mpsc::Receiver<News>,
    done: Option<T>,
    over: bool,
}

/// The next that is known of it.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// More was heard.
    News(News),
    /// It is over.
    Done(T),
}

impl<T> Following<T> {
    /// Follows the work that is made of the end where news goes in.
    pub(super) fn new<F>(work: impl FnOnce(mpsc::Sender<News>) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, news) = mpsc::channel(WAITING);
        Self { work: Box::pin(work(sender)), news, done: None, over: false }
    }

    /// Waits for what comes next; nothing after the end.
    pub(super) async fn next(&mut self) -> Option<Step<T>> {
        while !self.over {
            tokio::select! {
                biased;
                Some(news) = self.news.recv() => return Some(Step::News(news)),
                done = &mut self.work => {
                    self.done = Some(done);
                    self.over = true;
                }
            }
        }
        match self.news.try_recv() {
            Ok(news) => Some(Step::News(news)),
            Err(_none) => self.done.take().map(Step::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn news_come_before_the_end() {
        let news = |heard| News { heard: Duration::from_secs(heard), expected: None, text: String::new() };
        let mut following = Following::new(|sender| async move {
            for heard in 0..20 {
                sender.send(news(heard)).await.unwrap();
            }
            "over"
        });
        for heard in 0..20 {
            assert!(matches!(following.next().await, Some(Step::News(next)) if next == news(heard)));
        }
        assert!(matches!(following.next().await, Some(Step::Done("over"))));
        assert!(following.next().await.is_none());
    }
}
