/** A statement of the specification that does not hold: `rule` is its number. */
export class Broken extends Error {
  constructor (rule, why = '') {
    super(`${rule}: ${why}`)
    this.rule = rule
  }
}

/** Run `check`; what it finds broken is `rule` to the caller. */
export function as (rule, check) {
  try {
    return check()
  } catch (error) {
    if (error instanceof Broken) throw new Broken(rule, error.message)
    throw error
  }
}
