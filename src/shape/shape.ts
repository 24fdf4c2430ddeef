// The words in which an operation states its input: shapes are plain values, and the type of the parsed input follows from
// them. The language is as small as the KMS, IAM and STS models need: a list holds scalars or structures, a map holds strings.

export interface TextShape {
  readonly kind: 'text'
  readonly min?: number
  readonly max?: number
  readonly pattern?: string
  readonly patternFirst?: boolean
  readonly sensitive?: boolean
}

export interface BlobShape {
  readonly kind: 'blob'
  readonly min?: number
  readonly max?: number
  readonly sensitive?: boolean
}

export interface IntegerShape {
  readonly kind: 'integer'
  readonly min?: number
  readonly max?: number
}

export interface BooleanShape {
  readonly kind: 'boolean'
}

export interface TimestampShape {
  readonly kind: 'timestamp'
}

export interface EnumerationShape<Value extends string = string> {
  readonly kind: 'enumeration'
  readonly values: readonly Value[]
  readonly listed: readonly string[]
}

export interface MapShape {
  readonly kind: 'map'
  readonly key: TextShape
  readonly value: TextShape
}

export interface ListShape<Member extends ScalarShape | StructureShape = ScalarShape | StructureShape> {
  readonly kind: 'list'
  readonly member: Member
  readonly min?: number
  readonly max?: number
}

export interface StructureShape<Members extends Shapes = Shapes> {
  readonly kind: 'structure'
  readonly members: Members
}

export interface RequiredShape<Inner extends Shape = Shape> {
  readonly kind: 'required'
  readonly shape: Inner
}

export type ScalarShape = TextShape | BlobShape | IntegerShape | BooleanShape | TimestampShape | EnumerationShape
export type Shape = ScalarShape | MapShape | ListShape | StructureShape

/** The members of an input or a structure, by their names on the wire. */
export interface Shapes {
  readonly [member: string]: Shape | RequiredShape
}

type ValueOf<S> =
  S extends RequiredShape<infer Inner> ? ValueOf<Inner>
  : S extends EnumerationShape<infer Value> ? Value
  : S extends TextShape ? string
  : S extends BlobShape ? Buffer
  : S extends IntegerShape ? number
  : S extends BooleanShape ? boolean
  : S extends TimestampShape ? Date
  : S extends MapShape ? ReadonlyMap<string, string>
  : S extends ListShape<infer Member> ? readonly ValueOf<Member>[]
  : S extends StructureShape<infer Members> ? Infer<Members>
  : never

type RequiredNames<Members> = { [Name in keyof Members]: Members[Name] extends RequiredShape ? Name : never }[keyof Members]

type Flat<T> = { [Name in keyof T]: T[Name] }

/** The parsed input of a record of shapes: required members are there, all others may be undefined. */
export type Infer<Members extends Shapes> = Flat<
  { readonly [Name in RequiredNames<Members>]: ValueOf<Members[Name]> } & {
    readonly [Name in Exclude<keyof Members, RequiredNames<Members>>]?: ValueOf<Members[Name]>
  }
>

/**
 * A string. `min` and `max` count Unicode code points; `pattern` is the model's regular expression and must match the whole.
 * When both are violated AWS names the length first on KMS and the pattern first on STS: there set `patternFirst`.
 */
export function text(bounds: Omit<TextShape, 'kind'> = {}): TextShape {
  return { kind: 'text', ...bounds }
}

/** Bytes, base64 on the wire. `min` and `max` count decoded bytes. */
export function blob(bounds: Omit<BlobShape, 'kind'> = {}): BlobShape {
  return { kind: 'blob', ...bounds }
}

/** A 32-bit integer. */
export function integer(bounds: Omit<IntegerShape, 'kind'> = {}): IntegerShape {
  return { kind: 'integer', ...bounds }
}

export function boolean(): BooleanShape {
  return { kind: 'boolean' }
}

/** A moment, epoch seconds with an optional fraction on the wire; kept to the millisecond. */
export function timestamp(): TimestampShape {
  return { kind: 'timestamp' }
}

/**
 * One of `values`. `listed` is what the ValidationException prints when it differs: AWS prints enum members in the order of a
 * hash table, and for GenerateDataKey's KeySpec the members of another enum.
 */
export function enumeration<const Value extends string>(
  values: readonly Value[],
  options: { readonly listed?: readonly string[] } = {},
): EnumerationShape<Value> {
  return { kind: 'enumeration', values, listed: options.listed ?? values }
}

/** Strings by string. Parsed to a Map: a plain object would lose a key called __proto__. */
export function map(key: TextShape, value: TextShape): MapShape {
  return { kind: 'map', key, value }
}

export function list<const Member extends ScalarShape | StructureShape>(
  member: Member,
  bounds: { readonly min?: number; readonly max?: number } = {},
): ListShape<Member> {
  return { kind: 'list', member, ...bounds }
}

export function structure<const Members extends Shapes>(members: Members): StructureShape<Members> {
  return { kind: 'structure', members }
}

export function required<const Inner extends Shape>(shape: Inner): RequiredShape<Inner> {
  return { kind: 'required', shape }
}

/** The shape behind `required`, if there is one. */
export function bare(shape: Shape | RequiredShape): Shape {
  return shape.kind === 'required' ? shape.shape : shape
}
