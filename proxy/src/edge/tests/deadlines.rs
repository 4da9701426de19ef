//! How long a caller may take.

use super::*;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Writes `bytes` one after the other, with a pause after each.
async fn drip(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        writer.write_u8(*byte).await?;
        sleep(pause).await;
    }
    Ok(())
}

/// Reads all and tells when the edge hung up, the farewell aside.
async fn ended(caller: &mut (impl AsyncReadExt + Unpin), since: Instant) -> (String, u64) {
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    (answer, since.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_refused_after_five_seconds() {
    let mut edge = edge(Limits::default());
    let (since, caller) = (Instant::now(), connect(&mut edge, ROOM));
    let (mut reader, mut writer) = tokio::io::split(caller);
    let (_, (answer, seconds)) =
        tokio::join!(drip(&mut writer, HEAD, Duration::from_millis(900)), ended(&mut reader, since));
    assert_eq!((&statuses(&answer)[..], seconds), (&[408][..], 5));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_nothing_is_hung_up_on_after_five_seconds() {
    let mut edge = edge(Limits::default());
    let (since, mut caller) = (Instant::now(), connect(&mut edge, ROOM));
    assert_eq!(ended(&mut caller, since).await, (String::new(), 5));
}

#[tokio::test(start_paused = true)]
async fn a_second_head_has_five_seconds_from_its_first_byte() {
    let mut edge = edge(Limits::default());
    let mut caller = connect(&mut edge, ROOM);
    caller.write_all(HEAD).await.unwrap();
    read_until(&mut caller, "ok").await.unwrap();
    sleep(Duration::from_secs(50)).await;
    let since = Instant::now();
    caller.write_all(&HEAD[..5]).await.unwrap();
    let (answer, seconds) = ended(&mut caller, since).await;
    assert_eq!((&statuses(&answer)[..], seconds), (&[408][..], 5));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_minute() {
    let mut edge = edge(Limits::default());
    let mut caller = connect(&mut edge, ROOM);
    caller.write_all(HEAD).await.unwrap();
    read_until(&mut caller, "ok").await.unwrap();
    assert_eq!(ended(&mut caller, Instant::now()).await, (String::new(), 60));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_refused_after_its_window() {
    let mut edge = edge(Limits::default());
    let mut caller = connect(&mut edge, ROOM);
    caller.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
    let (answer, seconds) = ended(&mut caller, Instant::now()).await;
    assert_eq!((&statuses(&answer)[..], seconds), (&[408][..], 10));
}

/// Uploads a mebibyte, 1 KiB at a time.
async fn upload(pause: Duration) -> Vec<u16> {
    let mut edge = edge(Limits::default());
    let (mut reader, mut writer) = tokio::io::split(connect(&mut edge, ROOM));
    let send = async {
        writer.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n").await?;
        for _ in 0..1024 {
            writer.write_all(&[b'x'; 1024]).await?;
            sleep(pause).await;
        }
        Ok::<_, io::Error>(())
    };
    let (_, (answer, _)) = tokio::join!(send, ended(&mut reader, Instant::now()));
    statuses(&answer)
}

#[tokio::test(start_paused = true)]
async fn a_body_a_little_faster_than_the_bound_is_taken() {
    assert_eq!(upload(Duration::from_millis(122)).await, [200]);
}

#[tokio::test(start_paused = true)]
async fn a_body_a_little_slower_than_the_bound_is_refused() {
    assert_eq!(upload(Duration::from_millis(128)).await, [408]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_not_held_against_the_caller() {
    let mut edge = edge(Limits::default());
    let request = b"POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let answer = exchange(connect(&mut edge, ROOM), request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("abc"), "{answer:?}");
}
