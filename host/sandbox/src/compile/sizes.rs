//! How large a component may be, told by a look at it that costs milliseconds: what makes the compiler slow,
//! and what every instance takes from all others.

use std::fmt;

use wasmparser::{FunctionBody, Operator, Parser, Payload};
use wasmtime::component::Component;

use crate::error::ComponentError;

/// Memories of one instance. Each takes up to three mappings of the process, of which there are 65,530 on an
/// ordinary machine, and some of its address space.
const MAX_MEMORIES: u64 = 4;

/// What is counted in a component, over all its modules. Beside each: the most that the components of this
/// project have, and the most that was found in programs of several megabytes (those of `wasm-tools` and
/// `jco`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 3.
    Modules,
    /// 15.
    Instances,
    /// 1.
    Memories,
    /// 2.
    Tables,
    /// The compiler lists them, and so does whoever loads what it has made.
    TableElements,
    /// 1,236; 8,207.
    Functions,
    /// 16 KB; 181 KB.
    FunctionInBytes,
    /// Of one function: 98; 128.
    Locals,
    /// Locals times blocks, of all functions together: the compiler looks for each local where the paths of a
    /// function meet. 181,504; 971,940. A million takes it about a second.
    LocalsTimesBlocks,
}

impl Size {
    const ALL: [Self; 9] = [
        Self::Modules,
        Self::Instances,
        Self::Memories,
        Self::Tables,
        Self::TableElements,
        Self::Functions,
        Self::FunctionInBytes,
        Self::Locals,
        Self::LocalsTimesBlocks,
    ];

    /// The most that a component of a tenant may have.
    pub const fn most(self) -> u64 {
        match self {
            Self::Modules | Self::Tables => 100,
            Self::Instances => 1_000,
            Self::Memories => MAX_MEMORIES,
            Self::TableElements => 1_000_000,
            Self::Functions => 50_000,
            Self::FunctionInBytes => 1024 * 1024,
            Self::Locals => 5_000,
            Self::LocalsTimesBlocks => 10_000_000,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modules => "modules and nested components",
            Self::Instances => "instances of its parts",
            Self::Memories => "memories",
            Self::Tables => "tables",
            Self::TableElements => "elements of tables",
            Self::Functions => "functions",
            Self::FunctionInBytes => "bytes in one function",
            Self::Locals => "locals in one function",
            Self::LocalsTimesBlocks => "locals times blocks in its functions",
        })
    }
}

/// What there is of each.
#[derive(Default)]
struct Sizes([u64; Size::ALL.len()]);

impl Sizes {
    fn add(&mut self, size: Size, count: u64) {
        let sum = &mut self.0[size as usize];
        *sum = sum.saturating_add(count);
    }

    fn at_least(&mut self, size: Size, value: u64) {
        let most = &mut self.0[size as usize];
        *most = value.max(*most);
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        let mut locals = 0_u64;
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(group?.0.into());
        }
        let mut blocks = 1_u64;
        for operator in body.get_operators_reader()? {
            if let Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } = operator? {
                blocks += 1;
            }
        }
        self.add(Size::Functions, 1);
        self.at_least(Size::FunctionInBytes, body.range().len() as u64);
        self.at_least(Size::Locals, locals);
        self.add(Size::LocalsTimesBlocks, locals.saturating_mul(blocks));
        Ok(())
    }

    fn of(component: &[u8]) -> wasmparser::Result<Self> {
        let mut sizes = Self::default();
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => sizes.add(Size::Modules, 1),
                Payload::InstanceSection(instances) => sizes.add(Size::Instances, instances.count().into()),
                Payload::ComponentInstanceSection(instances) => sizes.add(Size::Instances, instances.count().into()),
                Payload::MemorySection(memories) => sizes.add(Size::Memories, memories.count().into()),
                Payload::TableSection(tables) => {
                    for table in tables {
                        let table = table?;
                        sizes.add(Size::Tables, 1);
                        sizes.add(Size::TableElements, table.ty.initial);
                    }
                }
                Payload::CodeSectionEntry(body) => sizes.add_function(&body)?,
                _ => {}
            }
        }
        Ok(sizes)
    }
}

/// Refuses a component that is larger than those of tenants may be. Whether it is valid is not looked at.
pub(crate) fn check_sizes(component: &[u8]) -> Result<(), ComponentError> {
    let sizes = Sizes::of(component).map_err(|error| ComponentError::Invalid(error.to_string()))?;
    Size::ALL.into_iter().try_for_each(|size| check(size, sizes.0[size as usize]))
}

/// Refuses a component whose instances have more memories than those of tenants may have: a module with one
/// may be instantiated many times.
pub(crate) fn check_memories(component: &Component) -> Result<(), ComponentError> {
    // A component that gets modules from others does not know; none is given any here.
    let resources = component.resources_required();
    resources.map_or(Ok(()), |resources| check(Size::Memories, resources.num_memories.into()))
}

fn check(size: Size, value: u64) -> Result<(), ComponentError> {
    if value <= size.most() { Ok(()) } else { Err(ComponentError::TooLarge(size, value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let component = wat::parse_str(text).unwrap();
        check_sizes(&component).unwrap_err().to_string()
    }

    /// A component of one module, whose only function has these locals and blocks.
    fn with_function(locals: usize, blocks: usize) -> String {
        let (locals, begin, end) = (" i64".repeat(locals), "block ".repeat(blocks), "end ".repeat(blocks));
        format!("(component (core module (func (local{locals}) {begin}{end})))")
    }

    #[test]
    fn what_the_tests_run_and_the_host_carries_is_small() {
        let staged = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guest");
        let mut seen = 0;
        for file in std::fs::read_dir(staged).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let sizes = Sizes::of(&std::fs::read(&path).unwrap()).unwrap();
                // Ten times as much would do as well.
                for size in Size::ALL.into_iter().filter(|size| *size != Size::Memories && *size != Size::Tables) {
                    assert!(sizes.0[size as usize] * 10 <= size.most(), "{}: {size}", path.display());
                }
                seen += 1;
            }
        }
        assert!(seen >= 3, "run `just guest`");
    }

    #[test]
    fn what_is_too_large_is_named_with_its_size_and_what_is_allowed() {
        let memories = "(component (core module (memory 1) (memory 1) (memory 1)) (core module (memory 1) (memory 1)))";
        assert_eq!(refusal(memories), "it has 5 memories, and at most 4 are allowed");
        let table = "(component (core module (table 1000001 funcref)))";
        assert_eq!(refusal(table), "it has 1000001 elements of tables, and at most 1000000 are allowed");
        let modules = format!("(component {})", "(core module)".repeat(101));
        assert_eq!(refusal(&modules), "it has 101 modules and nested components, and at most 100 are allowed");
        let instances = format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(1_001));
        assert_eq!(refusal(&instances), "it has 1001 instances of its parts, and at most 1000 are allowed");
        assert_eq!(
            refusal(&with_function(5_001, 0)),
            "it has 5001 locals in one function, and at most 5000 are allowed"
        );
        let blocks = "it has 10005000 locals times blocks in its functions, and at most 10000000 are allowed";
        assert_eq!(refusal(&with_function(5_000, 2_000)), blocks);
        let body = format!("(component (core module (func {})))", "nop ".repeat(1024 * 1024));
        assert!(refusal(&body).starts_with("it has 10485"), "{}", refusal(&body));
        assert!(check_sizes(&wat::parse_str(with_function(5_000, 1_999)).unwrap()).is_ok());
    }

    #[test]
    fn sizes_beyond_all_numbers_are_refused_too() {
        // Four billion locals in each of several groups, which take five bytes each.
        let mut code = vec![0x00, 0x61, 0x73, 0x6d, 0x01, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0];
        let groups = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e].repeat(3);
        let mut body = vec![3];
        body.extend(groups);
        body.push(0x0b);
        code.extend([10, u8::try_from(body.len() + 2).unwrap(), 1, u8::try_from(body.len()).unwrap()]);
        code.extend(body);
        let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
        component.push(u8::try_from(code.len()).unwrap());
        component.extend(code);
        let error = check_sizes(&component).unwrap_err().to_string();
        assert!(error.contains("too many locals"), "{error}");
    }

    #[test]
    fn what_is_no_component_is_refused_without_a_panic() {
        let whole = wat::parse_str(with_function(3, 3)).unwrap();
        for length in 0..whole.len() {
            let _ = check_sizes(&whole[..length]);
        }
        assert!(matches!(check_sizes(b"\0asm\x0d\0\x01\0\x63"), Err(ComponentError::Invalid(_))));
    }

    #[test]
    fn memories_are_counted_in_the_instances() {
        let engine = wasmtime::Engine::default();
        let component = |count| {
            let text =
                format!("(component (core module $m (memory 1)) {})", "(core instance (instantiate $m))".repeat(count));
            Component::new(&engine, wat::parse_str(text).unwrap()).unwrap()
        };
        check_memories(&component(4)).unwrap();
        let error = check_memories(&component(98)).unwrap_err().to_string();
        assert_eq!(error, "it has 98 memories, and at most 4 are allowed");
    }
}
