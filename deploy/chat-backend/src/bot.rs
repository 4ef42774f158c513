//! The bot: answers a visitor from what the tenant ingested, or hands over to a person.
//!
//! A question's words are looked up in the tenant's passages (`records/search.rs`). The confidence is the share of the
//! question's words that the best chunk holds; below the threshold it does not guess. No model, no network: what it
//! says is a passage of the tenant's own words, with its source.

use sea_orm::ConnectionTrait;
use wire::frames::{Citation, limits::QUICK_REPLY_CHARS};

use super::{
    handling::WaitingReason,
    records::search::{self, Candidate},
    store::{OfTenant, StoreError},
};

/// Half of what was asked about must be in the passage.
const THRESHOLD: f64 = 0.5;
/// The category of documents that the bot never answers from. It hands a question that they answer over to a person.
const RESTRICTED: &str = "restricted";
/// Chunks that are looked at more closely.
const CANDIDATES: u32 = 5;
/// Topics that are offered at once.
const TOPICS: usize = 3;
/// Words of a question that are looked up; the rest of a very long one adds nothing.
const MOST_TERMS: usize = 24;

/// What the bot does with a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// There was nothing to look up, such as a greeting.
    Greet,
    Answer(Answer),
    /// A person is needed.
    HandOver {
        reason: WaitingReason,
        /// What the bot can answer meanwhile.
        topics: Vec<String>,
    },
}

/// An answer and where it is from.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) content: String,
    pub(crate) citations: Vec<Citation>,
    pub(crate) confidence: f64,
    /// What the visitor may want to ask next.
    pub(crate) topics: Vec<String>,
}

/// What the bot replies to `message`.
pub(crate) async fn reply(rows: &OfTenant<'_, impl ConnectionTrait>, message: &str) -> Result<Reply, StoreError> {
    if asks_for_a_person(message) {
        return Ok(Reply::HandOver { reason: WaitingReason::UserRequest, topics: Vec::new() });
    }
    let terms = terms(message);
    if terms.is_empty() {
        return Ok(Reply::Greet);
    }
    let candidates = search::best(rows, &terms, CANDIDATES).await?;
    Ok(judge(candidates, terms.len()))
}

fn judge(candidates: Vec<Candidate>, terms: usize) -> Reply {
    let share = |covered: i64| {
        let covered = u32::try_from(covered).unwrap_or_default();
        let terms = u32::try_from(terms).unwrap_or(u32::MAX);
        f64::from(covered) / f64::from(terms.max(1))
    };
    let hand_over = |reason| Reply::HandOver { reason, topics: topics(&candidates, &[]) };
    let Some(best) = candidates.first() else { return hand_over(WaitingReason::LowConfidence) };
    let confidence = share(best.covered);
    if confidence < THRESHOLD {
        return hand_over(WaitingReason::LowConfidence);
    }
    if best.category == RESTRICTED {
        return hand_over(WaitingReason::RestrictedTopic);
    }
    let content = best.text.clone();
    let citations: Vec<_> = candidates
        .iter()
        .filter(|candidate| share(candidate.covered) >= THRESHOLD && candidate.category != RESTRICTED)
        .take(3)
        .map(|candidate| Citation {
            chunk_id: candidate.id.clone(),
            document_id: candidate.document_id.clone(),
            title: candidate.title.clone(),
            url: candidate.url.clone(),
            document_version: candidate.document_version,
            score: share(candidate.covered),
        })
        .collect();
    let topics = topics(&candidates, &citations);
    Reply::Answer(Answer { content, citations, confidence, topics })
}

/// The titles of documents that hold some of the question's words and are not cited. A visitor who sends a title is
/// answered: its document holds all of its words.
fn topics(candidates: &[Candidate], cited: &[Citation]) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    for Candidate { title, category, .. } in candidates {
        let is_known = topics.contains(title) || cited.iter().any(|citation| citation.title == *title);
        let fits = !title.trim().is_empty() && title.chars().count() <= QUICK_REPLY_CHARS;
        if fits && !is_known && category != RESTRICTED && !terms(title).is_empty() && topics.len() < TOPICS {
            topics.push(title.clone());
        }
    }
    topics
}

/// A message's words that carry meaning, once each.
fn terms(message: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for word in message.split(|c: char| !c.is_alphanumeric()) {
        let word = word.to_lowercase();
        if word.chars().count() > 1 && !STOP_WORDS.contains(&word.as_str()) && !terms.contains(&word) {
            terms.push(word);
            if terms.len() == MOST_TERMS {
                break;
            }
        }
    }
    terms
}

/// Whether a visitor asks for a person, in a language that the widget speaks. Case, accents' composition and the kind of apostrophe do not count.
fn asks_for_a_person(message: &str) -> bool {
    let message = message.to_lowercase().replace(['\u{2019}', '\u{02bc}'], "'");
    let words: Vec<&str> = message.split_whitespace().collect();
    let message = words.join(" ");
    REQUESTS_FOR_A_PERSON.iter().any(|request| message.contains(request))
}

const REQUESTS_FOR_A_PERSON: &[&str] = &[
    "talk to a human",
    "speak to a human",
    "speak with a human",
    "talk with a human",
    "talk to a person",
    "speak to a person",
    "speak with a person",
    "talk to someone",
    "speak to someone",
    "speak with someone",
    "talk to an agent",
    "speak to an agent",
    "speak with an agent",
    "talk to an operator",
    "speak to an operator",
    "human agent",
    "human being",
    "real person",
    "real human",
    "customer service representative",
    "parler à un humain",
    "parler a un humain",
    "parler avec un humain",
    "parler à quelqu'un",
    "parler a quelqu'un",
    "parler avec quelqu'un",
    "parler à une personne",
    "parler avec une personne",
    "parler à un conseiller",
    "parler à une conseillère",
    "parler avec un conseiller",
    "parler à un agent",
    "parler avec un agent",
    "parler à un opérateur",
    "un vrai humain",
    "une vraie personne",
    "un être humain",
    "mit einem menschen sprechen",
    "mit einem menschen reden",
    "mit einem mitarbeiter sprechen",
    "mit einer person sprechen",
    "hablar con una persona",
    "hablar con un humano",
    "hablar con un agente",
    "parlare con una persona",
    "parlare con un operatore",
    "met een medewerker praten",
    "met een medewerker spreken",
    "met een mens praten",
    "porozmawiać z człowiekiem",
    "porozmawiać z konsultantem",
    "falar com uma pessoa",
    "falar com um atendente",
    "yetkiliyle görüşmek",
    "temsilciyle görüşmek",
    "担当者と話したい",
    "オペレーターと話したい",
    "人工客服",
    "转人工",
    "التحدث إلى موظف",
    "التحدث مع موظف",
];

/// English and French words that say nothing of what is asked about.
const STOP_WORDS: &[&str] = &[
    "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for",
    "from", "get", "good", "had", "has", "have", "hello", "help", "her", "hey", "hi", "his", "how", "if", "in", "into",
    "is", "it", "its", "just", "know", "like", "me", "my", "need", "no", "not", "of", "on", "or", "our", "please",
    "she", "so", "some", "tell", "thank", "thanks", "that", "the", "their", "them", "there", "they", "this", "to",
    "up", "us", "want", "was", "we", "what", "when", "where", "which", "who", "why", "will", "with", "would", "yes",
    "you", "your", "au", "aux", "avec", "avez", "bonjour", "bonsoir", "ce", "ces", "cette", "comment", "dans", "de",
    "des", "du", "elle", "en", "est", "et", "il", "ils", "je", "la", "le", "les", "leur", "ma", "mais", "merci", "mes",
    "moi", "mon", "ne", "nos", "notre", "nous", "on", "ou", "où", "par", "pas", "peux", "pour", "pourquoi", "quand",
    "que", "quel", "quelle", "quelles", "quels", "qui", "sa", "salut", "se", "ses", "son", "sont", "sur", "un", "une",
    "vos", "votre", "vous",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_carry_meaning_are_looked_up() {
        assert_eq!(terms("Where is my order?"), ["order"]);
        assert_eq!(terms("Où est ma commande ? Commande 42!"), ["commande", "42"]);
        assert!(terms("hello, how are you?").is_empty());
        assert_eq!(terms(&"word ".repeat(1000)), ["word"]);
        let many: String = (0..1000).map(|n| format!("w{n} ")).collect();
        assert_eq!(terms(&many).len(), MOST_TERMS);
    }

    #[test]
    fn nothing_a_visitor_writes_is_an_operator() {
        assert_eq!(terms("refund NEAR(x) tenant:abc* -text"), ["refund", "near", "tenant", "abc", "text"]);
    }

    #[test]
    fn below_the_threshold_it_does_not_guess() {
        let candidate = |covered| Candidate {
            category: "general".to_owned(),
            id: "c".into(),
            document_id: "d".into(),
            title: "Returns".into(),
            url: None,
            document_version: 1,
            text: "passage".into(),
            covered,
        };
        let unknown = |topics: &[&str]| {
            let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
            Reply::HandOver { reason: WaitingReason::LowConfidence, topics }
        };
        assert_eq!(judge(Vec::new(), 2), unknown(&[]));
        assert_eq!(judge(vec![candidate(1)], 3), unknown(&["Returns"]));
        let Reply::Answer(answer) = judge(vec![candidate(2)], 4) else { panic!("it knows") };
        assert!((answer.confidence - 0.5).abs() < 1e-9);
    }

    #[test]
    fn topics_are_titles_that_are_not_cited_and_that_the_bot_may_answer() {
        let candidate = |title: &str, category: &str, covered| Candidate {
            category: category.to_owned(),
            id: title.into(),
            document_id: title.into(),
            title: title.into(),
            url: None,
            document_version: 1,
            text: "passage".into(),
            covered,
        };
        let long = "title ".repeat(20);
        let found = vec![
            candidate("Returns", "general", 2),
            candidate("Delivery", "general", 1),
            candidate("Returns", "general", 1),
            candidate("Margins", RESTRICTED, 1),
            candidate(&long, "general", 1),
            candidate("How to do it?", "general", 1),
            candidate("Delivery", "general", 1),
            candidate("Payment", "general", 1),
        ];
        let Reply::Answer(answer) = judge(found, 3) else { panic!("it knows") };
        assert_eq!(answer.topics, ["Delivery", "Payment"]);
    }

    #[test]
    fn a_visitor_who_asks_for_a_person_gets_one() {
        assert!(asks_for_a_person("Can I TALK TO A HUMAN?"));
        assert!(asks_for_a_person("je veux parler à un conseiller"));
        assert!(!asks_for_a_person("is the human resources book in stock?"));
    }

    #[test]
    fn what_the_widgets_menu_says_asks_for_a_person_in_every_language() {
        let web = concat!(env!("CARGO_MANIFEST_DIR"), "/../../relay-gateway/web/widget");
        let files = std::fs::read_dir(format!("{web}/locales")).expect("the folder");
        let mut said: Vec<_> = files
            .map(|file| {
                let texts = std::fs::read(file.expect("a file").path()).expect("the file");
                let texts: serde_json::Value = serde_json::from_slice(&texts).expect("JSON");
                texts["askForPerson"].as_str().expect("a text").to_owned()
            })
            .collect();
        let english = std::fs::read_to_string(format!("{web}/src/locales/en.ts")).expect("the file");
        let english = english.split_once("askForPerson: \"").expect("a text").1;
        said.push(english.split_once('"').expect("its end").0.to_owned());
        assert!(said.len() > 10);
        for text in said {
            assert!(asks_for_a_person(&text), "{text}");
        }
    }
}
