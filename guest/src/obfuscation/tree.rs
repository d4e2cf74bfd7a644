//! A record taken apart, and masked in the plainest way: on a tree, one place at a time. The rules are held
//! against it.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON text, taken apart. Unlike serde's tree it knows duplicate keys, escapes and the spelling of
/// numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Scalar(String),
    List(Vec<Tree>),
    Object(Vec<Member>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub key: String,
    /// Whether the key is written with escapes.
    pub escaped: bool,
    pub value: Tree,
}

impl Tree {
    /// Takes a text apart, escapes in keys resolved; none where serde does not read it.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text: &RawValue = serde_json::from_slice(text).ok()?;
        Some(match text.get().as_bytes().first()? {
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(text.get()).ok()?;
                Self::List(elements.iter().map(|text| Self::read(text.get().as_bytes())).collect::<Option<_>>()?)
            }
            b'{' => {
                let Members(members) = serde_json::from_str(text.get()).ok()?;
                let member = |(key, text): (String, &RawValue)| {
                    Some(Member { key, escaped: false, value: Self::read(text.get().as_bytes())? })
                };
                Self::Object(members.into_iter().map(member).collect::<Option<_>>()?)
            }
            _ => Self::Scalar(text.get().to_owned()),
        })
    }
}

/// The members of an object, with every one of a key that stands more than once.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(All)
    }
}

/// Puts `mask` wherever `path` leads, and returns the scalars that stood there.
pub fn replace(tree: &mut Tree, path: &[String], mask: &dyn Fn(&Tree) -> Tree) -> Vec<String> {
    let Some((step, path)) = path.split_first() else {
        let hidden = scalars(tree);
        *tree = mask(tree);
        return hidden;
    };
    match tree {
        Tree::Scalar(_) => Vec::new(),
        Tree::List(elements) => elements
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| is_index(step, *index))
            .flat_map(|(_, element)| replace(element, path, mask))
            .collect(),
        Tree::Object(members) => members
            .iter_mut()
            .filter(|member| is_key(step, &member.key))
            .flat_map(|member| replace(&mut member.value, path, mask))
            .collect(),
    }
}

fn scalars(tree: &Tree) -> Vec<String> {
    match tree {
        Tree::Scalar(text) => vec![text.clone()],
        Tree::List(elements) => elements.iter().flat_map(scalars).collect(),
        Tree::Object(members) => members.iter().flat_map(|member| scalars(&member.value)).collect(),
    }
}

pub fn default_mask(tree: &Tree) -> Tree {
    Tree::Scalar(match tree {
        Tree::Scalar(text) => match text.as_str() {
            "null" => "null".to_owned(),
            "true" | "false" => "false".to_owned(),
            text if text.starts_with('"') => r#""****SANITIZED****""#.to_owned(),
            text if text.contains(['.', 'e', 'E']) => "-1.0".to_owned(),
            _ => "-1".to_owned(),
        },
        Tree::List(_) | Tree::Object(_) => r#""****SANITIZED****""#.to_owned(),
    })
}

/// Whether a step of a path leads to the member with this key.
pub fn is_key(step: &str, key: &str) -> bool {
    step == "*" || step == key
}

/// Whether a step of a path leads to the element at this index, which may have zeros in front.
pub fn is_index(step: &str, index: usize) -> bool {
    step == "*" || step.bytes().all(|byte| byte.is_ascii_digit()) && step.parse() == Ok(index)
}
