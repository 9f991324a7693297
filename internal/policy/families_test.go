// SPDX-License-Identifier: Apache-2.0

package policy

var families = BuiltinRules().AllFamilies()
