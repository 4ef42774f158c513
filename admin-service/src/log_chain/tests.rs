use wire::{TenantId, time::from_unix_ms};

use super::*;

const OLD: &str = "old:ArIx6A9CIa99yMbZV7UzpNYU3fE4wQSTDLybF2T4fcI=";
const NEW: &str = "new:xxoGgNgSnxF5oF00lzzaZWMzH6ueUxo0nOf4mWLGGAs=";

fn keys(text: &str) -> MasterKeys {
    text.parse().expect("keys")
}

fn row(index: u64) -> RecordedAudit {
    RecordedAudit {
        id: Uuid::from_u128(index.into()),
        tenant_id: TenantId::from(Uuid::from_u128(7)),
        actor: "admin_key:1".to_owned(),
        action: "update_tenant".to_owned(),
        request_id: format!("r{index}"),
        // Every third row has one.
        subject: index.is_multiple_of(3).then(|| "bot:1".to_owned()),
        changed_fields: vec!["a".to_owned(), "b".to_owned()],
        occurred_at: from_unix_ms(1_000),
    }
}

type Rows = Vec<(u64, RecordedAudit, Option<Sealed>)>;

fn chain(keys: &MasterKeys, from: u64, to: u64, mut before: Link) -> Rows {
    (from..=to)
        .map(|number| {
            let sealed = seal(keys, &before, number, &row(number));
            before = sealed.mac;
            (number, row(number), Some(sealed))
        })
        .collect()
}

fn verify(keys: &MasterKeys, anchor: Option<&Anchor>, expected: Option<Head>, rows: &Rows) -> Report {
    let mut verification = Verification::begin(keys, Log::Audit, anchor, expected);
    for (number, row, sealed) in rows {
        verification.row(*number, row, sealed.as_ref());
    }
    verification.end(None)
}

fn problems(keys: &MasterKeys, expected: Option<Head>, rows: &Rows) -> Vec<String> {
    verify(keys, None, expected, rows).problems
}

#[test]
fn an_untouched_chain_verifies_also_across_a_change_of_master_keys() {
    let mut rows = chain(&keys(OLD), 1, 3, Link::default());
    let last = rows[2].2.as_ref().expect("sealed").mac;
    let both = keys(&format!("{NEW},{OLD}"));
    rows.extend(chain(&both, 4, 5, last));
    let report = verify(&both, None, None, &rows);
    assert_eq!((report.verified, report.problem_count), (5, 0), "{report:?}");
    let head = report.head.expect("a head");
    assert_eq!(head.to_string().parse(), Ok(head));
    assert!(problems(&both, Some(head), &rows).is_empty());
    let without = problems(&keys(NEW), None, &rows);
    assert!(without.len() == 3 && without[0].contains("\"old\""), "{without:?}");
    assert_eq!(verify(&both, None, None, &Rows::new()).head, None);
}

#[test]
fn gaps_alterations_insertions_and_a_missing_tail_are_told() {
    let keys = keys(OLD);
    let rows = chain(&keys, 1, 6, Link::default());
    let head = verify(&keys, None, None, &rows).head;
    let told = |change: fn(&mut Rows)| {
        let mut rows = rows.clone();
        change(&mut rows);
        problems(&keys, head, &rows)
    };
    for (change, expected) in [
        ((|rows| drop(rows.remove(2))) as fn(&mut Rows), "row 3 is missing"),
        (|rows| drop(rows.drain(1..4)), "rows 2 to 4 are missing"),
        (|rows| drop(rows.remove(0)), "row 1 is missing"),
        (|rows| rows.truncate(4), "the tail is missing"),
        (|rows| rows.clear(), "the tail is missing"),
        (|rows| rows[1].1.actor.push('x'), "row 2 was altered"),
        (|rows| rows[1].1.changed_fields = vec!["ab".to_owned()], "row 2 was altered"),
        (|rows| rows[1].1.subject = Some("bot:1".to_owned()), "row 2 was altered"),
        (|rows| rows[1].1.subject = Some(String::new()), "row 2 was altered"),
        (|rows| rows[2].1.subject = None, "row 3 was altered"),
        (|rows| rows[2].1.subject = Some("bot:2".to_owned()), "row 3 was altered"),
        (
            |rows| {
                let subject = rows[2].1.subject.take();
                rows[2].1.changed_fields.extend(subject);
            },
            "row 3 was altered",
        ),
        (|rows| rows[1].1.subject = rows[1].1.changed_fields.pop(), "row 2 was altered"),
        (|rows| rows[1].1.occurred_at = from_unix_ms(1_001), "row 2 was altered"),
        (|rows| rows[3].2 = None, "row 4 has no MAC"),
        (|rows| rows[5].2.as_mut().expect("sealed").mac[0] ^= 1, "row 6 was altered"),
    ] {
        let problems = told(change);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
    }
    let mut swapped = rows.clone();
    (swapped[2].1, swapped[3].1) = (rows[3].1.clone(), rows[2].1.clone());
    assert!(!problems(&keys, None, &swapped).is_empty());
    // An attacker without the key can delete the newest rows. A head that was noted before shows it.
    let mut cut = rows;
    cut.truncate(4);
    assert!(problems(&keys, None, &cut).is_empty());
}

#[test]
fn rows_before_the_anchor_are_not_verified_and_the_anchor_is() {
    let keys = keys(OLD);
    let mut rows: Rows = (1..=3).map(|number| (number, row(number), None)).collect();
    rows.extend(chain(&keys, 4, 5, Link::default()));
    let anchor = Anchor::new(&keys, Log::Audit, 3, Link::default());
    let report = verify(&keys, Some(&anchor), None, &rows);
    assert_eq!((report.unchained, report.verified, report.problem_count), (3, 2, 0), "{report:?}");
    let moved = Anchor { through: 4, ..anchor.clone() };
    let told = verify(&keys, Some(&moved), None, &rows).problems;
    assert!(told[0].contains("anchor was altered"), "{told:?}");
    let anew = Anchor::new(&keys, Log::Audit, 4, Link::default());
    let told = verify(&keys, Some(&anew), None, &rows).problems;
    assert!(told[0].contains("made anew"), "{told:?}");
    let pruned = verify(&keys, Some(&anchor), Some(Head { number: 2, link: Link::default() }), &rows).problems;
    assert!(pruned[0].contains("was pruned"), "{pruned:?}");
    // A head of the anchor's own row: it is what the chain goes on from, or the chain was begun anew.
    let at_the_anchor = |link| verify(&keys, Some(&anchor), Some(Head { number: 3, link }), &rows).problems;
    assert_eq!(at_the_anchor(Link::default()), Vec::<String>::new());
    let told = at_the_anchor([1; 32]);
    assert!(told[0].contains("row 3 is another than the expected head's"), "{told:?}");
    let told = verify(&keys, None, Some(Head { number: 0, link: [1; 32] }), &Rows::new()).problems;
    assert!(told[0].contains("row 0 is another"), "{told:?}");
}

/// A row of yesterday, with the link that yesterday's version gave it: rows without a subject are read as they were.
#[test]
fn a_row_from_before_there_were_subjects_keeps_its_link() {
    let sealed = seal(&keys(OLD), &Link::default(), 1, &row(1));
    assert_eq!(hex::encode(sealed.mac), "4804083b6b500a7d107ec00ac0be23b259288f4f2a14cc68f4855bcd1547016b");
}
