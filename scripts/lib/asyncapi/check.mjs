// Reads an AsyncAPI document with the reference parser; every error and warning is printed, and any
// error, or a reference that leads nowhere, fails.
import { Parser, fromFile } from '@asyncapi/parser';

const file = process.argv[2];
const { document, diagnostics } = await fromFile(new Parser(), file).parse();
// The parser's own advice (0 = error, 1 = warning, 2 and 3 = hints) is not all of equal weight.
const told = diagnostics.filter((d) => d.severity <= 1);
for (const d of told) console.error(`${file}: ${d.path.join('.')}: ${d.message} (${d.code})`);
if (!document || told.length) process.exit(1);
const channels = document.channels().all().length;
const messages = document.allMessages().all().length;
if (!channels || !messages) {
  console.error(`${file} names no channels or no messages`);
  process.exit(1);
}
console.log(`${file}: ${channels} channels, ${messages} messages`);
