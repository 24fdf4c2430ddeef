// The words of an AccessDeniedException, put together from AWS's guide and not by asking src/authz.
import { inject } from 'vitest'

export const admin = { arn: `arn:aws:iam::${inject('installation').account}:user/admin` }

/** `resource`: an ARN, or `*`. */
export const deniedOn = (who: { readonly arn: string }, action: string, resource: string, cause: string): string =>
  `User: ${who.arn} is not authorized to perform: ${action} on resource: ${resource} ${cause}`

/** A key that the caller may not know of. */
export const deniedUnseen = (who: { readonly arn: string }, action: string): string => `User: ${who.arn} is not authorized to perform: ${action} on this resource ${unseen}`

/** A key that only a ciphertext names. */
export const deniedByCiphertext = (who: { readonly arn: string }, action: string, cause = unseen): string =>
  `User: ${who.arn} is not authorized to perform: ${action} on the resource associated with this ciphertext ${cause}`

const unseen = 'because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access'
export const noIdentityPolicy = (action: string): string => `because no identity-based policy allows the ${action} action`
export const noKeyPolicy = (action: string): string => `because no resource-based policy allows the ${action} action`
export const deniedByIdentity = 'with an explicit deny in an identity-based policy'
export const deniedByKey = 'with an explicit deny in a resource-based policy'
