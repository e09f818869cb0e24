// protocols/members: the lines of a farm's members (MEM-5 to MEM-9). An amount is [wei, epoch].

const rescale = ([wei, epoch], wanted) => wei << BigInt(wanted - epoch)

/** What so many basis points of a deposit are. */
export const part = (deposit, weight) => deposit * weight / 10_000n

/** What a member was given in all, once it has asked. */
export function lend (gave, have, want, spare) {
  const epoch = Math.max(gave[1], have[1], want[1], spare[1])
  const [given, had, wanted, left] = [gave, have, want, spare].map((amount) => rescale(amount, epoch))
  if (had < given || wanted === 0n) return [given, epoch]
  const generous = wanted > left / 2n ? wanted : left / 2n
  return [given + (generous < left ? generous : left), epoch]
}

/** What we were given in all, once it is told. */
export function take (took, told) {
  const epoch = Math.max(took[1], told[1])
  return rescale(told, epoch) > rescale(took, epoch) ? [rescale(told, epoch), epoch] : took
}
