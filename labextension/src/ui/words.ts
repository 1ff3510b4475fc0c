/** Words and lines of the grammar, so that neither a shell's rules nor the magic's change them. */

/** `text` as one word, quoted as a shell would have it. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

/**
 * `line` such that the magic's own `{expressions}` and `$names` leave it as it is: what stands between `{{` and the
 * next `}}` is taken as it is in single braces, and outside of them `$$` is a dollar.
 */
export function literal(line: string): string {
  let text = '';
  let place = 0;
  for (;;) {
    const begin = line.indexOf('{', place);
    const plain = line.slice(place, begin < 0 ? undefined : begin);
    text += plain.replaceAll('$', '$$$$');
    if (begin < 0) {
      return text;
    }
    const end = line.indexOf('}', begin);
    if (end < 0) {
      return `${text}{${line.slice(begin)}`;
    }
    text += `{{${line.slice(begin + 1, end)}}}`;
    place = end + 1;
  }
}
