use super::*;
use crate::agents::Agents;
use crate::agents::wire::Taken;

fn poll(connection: &str, heard: u64) -> Poll {
    Poll {
        host: "store2".into(),
        version: "1".into(),
        connection: connection.into(),
        volumes: vec![],
        heard,
        at_work: vec![],
    }
}

fn told(connection: &str, number: u64, is_last: bool) -> Told {
    Told { host: "store2".into(), connection: connection.into(), call: 1, number, part: Part::Done, is_last }
}

async fn connected() -> (Agents, Notify) {
    let (agents, nudge) = (Agents::default(), Notify::new());
    assert!(agents.call("store2", "uploads", None, Ask::StillThere, Duty::default()).is_err());
    agents.poll(poll("a", 0), "token:x", &nudge).await.unwrap();
    (agents, nudge)
}

fn call(agents: &Agents) -> Talk {
    agents.call("store2", "uploads", None, Ask::StillThere, Duty::default()).unwrap()
}

#[tokio::test]
async fn a_call_is_told_until_the_agent_has_heard_of_it() {
    let (agents, nudge) = connected().await;
    let talk = call(&agents);
    for _ in 0..2 {
        let orders = agents.poll(poll("a", 0), "token:x", &nudge).await.unwrap();
        assert_eq!(orders.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [1]);
    }
    let at = AtWork { call: 1, files: 3, bytes: 70 };
    let heard = Poll { at_work: vec![at], ..poll("a", 1) };
    let orders = agents.poll(heard.clone(), "token:x", &nudge).await.unwrap();
    assert!(orders.calls.is_empty() && orders.courses[0].stop.is_none());
    drop(talk);
    let orders = agents.poll(heard, "token:x", &nudge).await.unwrap();
    assert_eq!(orders.courses[0].stop, Some(Stop::Cancel), "nobody waits for it any more");
}

#[tokio::test]
async fn a_part_that_comes_twice_counts_once_and_strangers_tell_nothing() {
    let (agents, _) = connected().await;
    let mut talk = call(&agents);
    let tell = async |told: Told, token: &str| agents.told(told, token).await;
    assert!(matches!(tell(told("b", 0, false), "token:x").await, Taken { next: None }));
    assert!(matches!(tell(told("a", 0, false), "token:y").await, Taken { next: None }));
    for _ in 0..2 {
        assert!(matches!(tell(told("a", 0, false), "token:x").await, Taken { next: Some(1) }));
    }
    assert!(matches!(tell(told("a", 1, true), "token:x").await, Taken { next: Some(2) }));
    assert!(matches!(talk.next().await, Ok(Some(Part::Done))));
    assert!(matches!(talk.next().await, Ok(Some(Part::Done))));
    assert!(matches!(talk.next().await, Ok(None)));
}

#[tokio::test]
async fn an_agent_that_went_away_ends_its_calls_and_a_second_one_is_refused() {
    let (agents, nudge) = connected().await;
    let mut talk = call(&agents);
    assert!(agents.poll(poll("b", 0), "token:x", &nudge).await.is_err(), "the first one is there");
    // It hangs up while it waits for an answer, and is started anew.
    agents.poll(poll("a", 1), "token:x", &nudge).await.unwrap();
    let mut waiting = Box::pin(agents.poll(poll("a", 1), "token:x", &nudge));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(waiting);
    agents.poll(poll("b", 0), "token:x", &nudge).await.unwrap();
    assert_eq!(talk.next().await.unwrap_err().to_string(), "the agent of store2 is not connected");
}

#[tokio::test]
async fn how_far_a_call_is_is_counted_and_taken_back() {
    let (agents, nudge) = connected().await;
    let duty = Duty::default();
    let _talk = agents.call("store2", "uploads", None, Ask::StillThere, duty.clone()).unwrap();
    for (files, bytes) in [(1, 100), (1, 40), (2, 240)] {
        let at_work = vec![AtWork { call: 1, files, bytes }];
        agents.poll(Poll { at_work, ..poll("a", 1) }, "token:x", &nudge).await.unwrap();
        assert_eq!((duty.progress.files(), duty.progress.bytes()), (files, bytes));
    }
}
