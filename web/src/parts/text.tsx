/** Text from outside: cleaned, bounded, and kept from changing the direction of what stands around it. */
import { hasControls, manyLines, oneLine } from '../../../src/base/text.ts';

export function Line({
  text,
  max = 300,
  title = true,
}: {
  readonly text: string;
  readonly max?: number;
  readonly title?: boolean;
}) {
  const line = oneLine(text, max);
  return <bdi title={title ? line : undefined}>{line}</bdi>;
}

/** A block that keeps its line breaks. */
export function Block({
  text,
  max = 20_000,
  label,
}: {
  readonly text: string;
  readonly max?: number;
  readonly label: string;
}) {
  return (
    <section className="block" aria-label={label} tabIndex={0}>
      <pre>
        <bdi>{manyLines(text, max)}</bdi>
      </pre>
    </section>
  );
}

/** Said where a person decides by what they read. */
export function HiddenCharacters({ text }: { readonly text: string }) {
  if (!hasControls(text)) return null;
  return <span className="warning">contains hidden characters, not shown here</span>;
}
