//! Which panics are shown: a process of its own, because a panic hook is the whole process's.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use odin_untrusted::guard::contain;

/// How many panics reached the hook that was there before the guard.
static SEEN: AtomicUsize = AtomicUsize::new(0);

fn seen() -> usize {
    SEEN.load(Ordering::SeqCst)
}

#[test]
fn panics_inside_are_errors_and_those_outside_are_shown() {
    let of_tests = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        match info.payload_as_str() {
            Some("of a decoder") => drop(SEEN.fetch_add(1, Ordering::SeqCst)),
            _ => of_tests(info),
        };
    }));
    assert_eq!(contain(|| 7), Ok(7));
    for (action, message) in [
        ((|| panic!("of a decoder")) as fn(), "of a decoder"),
        (
            || panic!("{}", String::from("of a decoder")),
            "of a decoder",
        ),
        (|| panic::panic_any(3), "a panic without a message"),
    ] {
        assert_eq!(contain(action).unwrap_err().to_string(), message);
        // One inside of another ends the inner one only.
        assert_eq!(contain(|| contain(action).is_err()), Ok(true));
    }
    assert_eq!(seen(), 0);

    // Outside again, and on another thread while this one is inside.
    let outside = || assert!(panic::catch_unwind(|| panic!("of a decoder")).is_err());
    outside();
    assert_eq!(seen(), 1);
    let elsewhere = || std::thread::scope(|scope| scope.spawn(outside).join().unwrap());
    assert_eq!(contain(elsewhere), Ok(()));
    assert_eq!(seen(), 2);
}
