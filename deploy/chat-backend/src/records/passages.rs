//! Cuts a document into the passages that the bot answers with.

/// A passage is as long as a person reads in a chat bubble. Characters.
const PASSAGE: usize = 600;

/// Cuts a text at its paragraphs, long paragraphs at sentences, and long sentences at words.
pub(super) fn passages(body: &str) -> Vec<String> {
    let mut passages = Vec::new();
    for paragraph in body.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let mut passage = String::new();
        for piece in paragraph.split_inclusive(['.', '!', '?', '\n']).flat_map(words_up_to_a_passage) {
            if !passage.is_empty() && passage.chars().count() + piece.chars().count() > PASSAGE {
                passages.push(passage.trim().to_owned());
                passage.clear();
            }
            passage.push_str(&piece);
        }
        passages.push(passage.trim().to_owned());
    }
    passages.retain(|passage| !passage.is_empty());
    passages
}

fn words_up_to_a_passage(sentence: &str) -> Vec<String> {
    if sentence.chars().count() <= PASSAGE {
        return vec![sentence.to_owned()];
    }
    let mut pieces = vec![String::new()];
    let mut length = 0;
    for word in sentence.split_inclusive(' ') {
        for (index, character) in word.chars().enumerate() {
            // Cuts between words. A single word that is longer than a passage is cut anywhere.
            if length >= PASSAGE || (index == 0 && length + word.chars().count() > PASSAGE && length > 0) {
                pieces.push(String::new());
                length = 0;
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(character);
            }
            length += 1;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_people_would_and_nothing_is_lost() {
        assert_eq!(passages("One.\n\nTwo. Three.\n\n\n"), ["One.", "Two. Three."]);
        let long_sentences = "A sentence of some length here. ".repeat(60);
        let long_words = "x".repeat(2000);
        for text in [long_sentences.as_str(), &long_words, &"mot ".repeat(700)] {
            let cut = passages(text);
            assert!(cut.iter().all(|passage| (1..=PASSAGE).contains(&passage.chars().count())), "{cut:?}");
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&cut.join(" ")), squeeze(text));
        }
    }
}
