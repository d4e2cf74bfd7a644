// A component as a JavaScript module: jco translates it, once for each content.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { transpileBytes } from '@bytecodealliance/jco-transpile';

const CACHE = join(dirname(fileURLToPath(import.meta.url)), '../../../target/tmp/jco');
const JCO = JSON.parse(readFileSync(new URL('package.json', import.meta.url))).dependencies['@bytecodealliance/jco-transpile'];

// The function that instantiates the component with imports by name.
export async function transpiled(bytes) {
  const folder = join(CACHE, `${JCO}-${createHash('sha256').update(bytes).digest('hex')}`);
  if (!existsSync(folder)) await transpileTo(folder, bytes);
  const { instantiate } = await import(pathToFileURL(join(folder, 'component.js')));
  const modules = new Map();
  const module = (name) => {
    if (!modules.has(name)) modules.set(name, new WebAssembly.Module(readFileSync(join(folder, name))));
    return modules.get(name);
  };
  return (imports) => instantiate(module, imports);
}

async function transpileTo(folder, bytes) {
  const options = { name: 'component', instantiation: 'sync', outDir: '', emitTypescriptDeclarations: false };
  const { files } = await transpileBytes(bytes, options);
  mkdirSync(CACHE, { recursive: true });
  const unfinished = mkdtempSync(`${folder}-`);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(unfinished, name), content);
  writeFileSync(join(unfinished, 'package.json'), '{"type": "module"}');
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    // Somebody else was faster, with the same result.
    if (!existsSync(folder)) throw error;
    rmSync(unfinished, { recursive: true });
  }
}
