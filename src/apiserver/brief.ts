/** What a client sent, for a message: short, and whatever it is (an object may have a `toString` that is none). */
export function brief(value: unknown, most = 100): string {
  const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
  return text.slice(0, most);
}
