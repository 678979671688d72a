import { callInThread, declare } from './libc.ts';

const malloc_trim = declare('int malloc_trim(size_t pad)');

/** Gives the whole free pages of the C library's heaps, which it keeps for itself otherwise, back to the kernel. */
export async function trimMalloc(): Promise<void> {
  await callInThread(malloc_trim, 0);
}
