// The front door of an operation's input: bytes, JSON, types, constraints, in AWS's order. A record of shapes is compiled once;
// a request that is right then costs a loop over the declared members and no more.
import { constraintsOf } from './constrain.ts'
import { structureConverter } from './convert.ts'
import { readObject } from './json.ts'
import type { Infer, Shapes } from './shape.ts'
import { wipe } from './wipe.ts'

export interface Parser<Input> {
  /** The bytes of a JSON body → input. Throws SerializationException or, for all violations at once, ValidationException. */
  readonly parse: (body: Uint8Array) => Input
  /** The same from a value that is read already, such as the members of a form. */
  readonly accept: (value: unknown) => Input
}

export function compile<const Members extends Shapes>(shapes: Members): Parser<Infer<Members>> {
  const convert = structureConverter(shapes)
  const constrain = constraintsOf(shapes)
  const accept = (value: unknown): Infer<Members> => {
    const input = convert(value)
    try {
      constrain(input)
    } catch (refusal) {
      wipe(input)
      throw refusal
    }
    // convert and constrain read the same shapes that Infer reads; no type can follow them through a table.
    return input as Infer<Members>
  }
  return { accept, parse: body => accept(readObject(body)) }
}
