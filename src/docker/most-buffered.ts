/** For tests: by how many bytes all buffers of this process together grew at most while `work` was at it. */
export async function mostBuffered(work: () => Promise<unknown>): Promise<number> {
  const bytes = () => process.memoryUsage().arrayBuffers;
  const before = bytes();
  let most = before;
  const looking = setInterval(() => (most = Math.max(most, bytes())), 2);
  try {
    await work();
  } finally {
    clearInterval(looking);
  }
  return most - before;
}
