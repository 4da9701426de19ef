//! The longest common subsequence of two lists of words, by Hirschberg's halving: exact, in memory that grows with the
//! length of the lists and not with their product.

/// Tells for each word of `heard` which word of `spoken` it is, so that as many as possible are some.
pub(super) fn align(spoken: &[u16], heard: &[u16]) -> Vec<Option<usize>> {
    let mut matched = vec![None; heard.len()];
    halve(spoken, heard, 0, &mut matched);
    matched
}

/// Aligns a part of the lists: `offset` words were spoken before it.
fn halve(spoken: &[u16], heard: &[u16], offset: usize, matched: &mut [Option<usize>]) {
    let head = common(spoken.iter(), heard.iter());
    for (at, place) in matched[..head].iter_mut().enumerate() {
        *place = Some(offset + at);
    }
    let (spoken, heard, matched, offset) = (&spoken[head..], &heard[head..], &mut matched[head..], offset + head);
    let tail = common(spoken.iter().rev(), heard.iter().rev());
    let (spoken, rest) = spoken.split_at(spoken.len() - tail);
    let (heard, _) = heard.split_at(heard.len() - tail);
    let (matched, matched_tail) = matched.split_at_mut(heard.len());
    for (at, place) in matched_tail.iter_mut().enumerate().take(rest.len()) {
        *place = Some(offset + spoken.len() + at);
    }
    split(spoken, heard, offset, matched);
}

/// Cuts the longer work in two where the two halves match best together.
fn split(spoken: &[u16], heard: &[u16], offset: usize, matched: &mut [Option<usize>]) {
    match (spoken, heard) {
        ([], _) | (_, []) => {}
        ([word], _) => {
            if let Some(at) = heard.iter().position(|other| other == word) {
                matched[at] = Some(offset);
            }
        }
        (_, [word]) => matched[0] = spoken.iter().position(|other| other == word).map(|at| offset + at),
        _ => {
            let middle = spoken.len() / 2;
            let (above, below) = spoken.split_at(middle);
            let forward = lengths(above.iter(), || heard.iter());
            let backward = lengths(below.iter().rev(), || heard.iter().rev());
            let total = |cut: usize| forward[cut] + backward[heard.len() - cut];
            let cut = (0..=heard.len()).max_by_key(|cut| total(*cut)).unwrap_or_default();
            let (left, right) = matched.split_at_mut(cut);
            halve(above, &heard[..cut], offset, left);
            halve(below, &heard[cut..], offset + middle, right);
        }
    }
}

/// Counts the words that two lists begin with alike.
fn common<'a>(one: impl Iterator<Item = &'a u16>, other: impl Iterator<Item = &'a u16>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// The longest common subsequence's length of `spoken` and every beginning of `heard`.
fn lengths<'a, H>(spoken: impl Iterator<Item = &'a u16>, heard: impl Fn() -> H) -> Vec<usize>
where
    H: Iterator<Item = &'a u16>,
{
    let mut row = vec![0; heard().count() + 1];
    for word in spoken {
        let mut diagonal = 0;
        for (at, other) in heard().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_alignment_is_true_in_order_and_as_long_as_can_be(
            spoken in prop::collection::vec(0_u16..4, 0..30),
            heard in prop::collection::vec(0_u16..4, 0..30),
        ) {
            let matched = align(&spoken, &heard);
            let pairs: Vec<_> = matched.iter().enumerate().filter_map(|(at, place)| place.map(|place| (at, place))).collect();
            prop_assert!(pairs.iter().all(|(at, place)| heard[*at] == spoken[*place]));
            prop_assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].1));
            prop_assert_eq!(pairs.len(), lengths(spoken.iter(), || heard.iter())[heard.len()]);
        }
    }
}
