/** A request that this agent does not serve: a key that it does not make, a row that is not its domain's, an object found twice. */
export class Refused extends Error {
  override readonly name = 'Refused'
}
