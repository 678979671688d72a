import { define, type Overload, type OverloadSizes, scan } from '../overload.ts';
import { OpaqueValue, Optional, ValueList } from '../values.ts';

const TYPE = 'kubernetes.NamedFormat';
const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const NAME = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';

/** One rule: the shape of the whole text, its greatest length, and what is said of a text that has another. */
interface Rule {
  shape: RegExp;
  longest: number;
  message: string;
}

const whole = (shape: string) => new RegExp(`^(?:${shape})$`);
const label =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const subdomain =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const label1035 =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const RULES: Readonly<Record<string, Rule>> = {
  dns1123Label: { shape: whole(LABEL), longest: 63, message: label },
  dns1123Subdomain: { shape: whole(SUBDOMAIN), longest: 253, message: subdomain },
  dns1035Label: { shape: /^[a-z]([-a-z0-9]*[a-z0-9])?$/, longest: 63, message: label1035 },
  dns1123LabelPrefix: { shape: /^[a-z0-9][-a-z0-9]*$/, longest: 63, message: label },
  dns1123SubdomainPrefix: { shape: /^[a-z0-9]([-a-z0-9.]*[-a-z0-9])?$/, longest: 253, message: subdomain },
  dns1035LabelPrefix: { shape: /^[a-z][-a-z0-9]*$/, longest: 63, message: label1035 },
  qualifiedName: {
    shape: whole(`(${SUBDOMAIN}/)?${NAME}`),
    longest: 317,
    message: "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  },
  labelValue: {
    shape: whole(`(${NAME})?`),
    longest: 63,
    message:
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  },
  uri: { shape: /^([A-Za-z][A-Za-z0-9+.-]*:[^\s]+|\/[^\s]*)$/, longest: 65_536, message: 'invalid URI for request' },
  uuid: {
    shape: /^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$/,
    longest: 36,
    message: 'does not match the UUID format',
  },
  byte: {
    shape: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    longest: Number.MAX_SAFE_INTEGER,
    message: 'invalid base64',
  },
  date: { shape: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, longest: 10, message: 'invalid date' },
  datetime: {
    shape: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
    longest: 64,
    message: 'invalid datetime',
  },
};

/** A format with a name. */
class FormatValue extends OpaqueValue {
  readonly typeName = TYPE;
  readonly name: string;
  readonly rule: Rule;
  constructor(name: string, rule: Rule) {
    super();
    this.name = name;
    this.rule = rule;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof FormatValue && other.name === this.name;
  }
}

function validate({ rule }: FormatValue, text: string): Optional {
  const problems: string[] = [];
  if (text.length > rule.longest) problems.push(`must be no more than ${rule.longest} characters`);
  else if (!rule.shape.test(text)) problems.push(rule.message);
  return problems.length === 0 ? Optional.NONE : Optional.of(new ValueList(problems));
}

const SCANNED: OverloadSizes = { cost: (_, size = 0) => scan(size), resultSize: () => 10 };

/** Kubernetes' named formats. */
export const formats: readonly Overload[] = [
  ...Object.entries(RULES).map(([name, rule]) => {
    const value = new FormatValue(name, rule);
    return define(`format.${name}(): ${TYPE}`, () => value);
  }),
  define(`format.named(string): optional<${TYPE}>`, (name: string) => {
    const rule = Object.hasOwn(RULES, name) ? RULES[name] : undefined;
    return rule ? Optional.of(new FormatValue(name, rule)) : Optional.NONE;
  }),
  define(`${TYPE}.validate(string): optional<list<string>>`, validate, SCANNED),
];
