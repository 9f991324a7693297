// SPDX-License-Identifier: Apache-2.0

// Package audit reads what API servers denied out of their audit logs: a policy denies
// without telling Skott. It decodes audit events and keeps of them the denials by Skott's
// policies and by the guard webhook, receives them over HTTPS, and follows a log file. It
// keeps no object and no address: of a denial it knows the code and the path of the field.
package audit
