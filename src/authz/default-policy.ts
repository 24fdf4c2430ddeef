// The key policy of a key that was made without one.

/**
 * The document that the CreateKey API attaches, indented as GetKeyPolicy prints it: the account decides by its identity
 * policies. Source: AWS KMS developer guide, "Default key policy".
 */
export const defaultKeyPolicy = (accountId: string): string => `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::${accountId}:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
