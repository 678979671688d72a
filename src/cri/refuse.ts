import { UmiakError } from '#base/errors.ts';

/** A field that can't be what it asks for: names the field and, when there is one, the way out. */
export function invalidField(field: string, message: string, hint?: string): UmiakError {
  return new UmiakError('Invalid', `${field}: ${message}`, {
    details: { causes: [{ reason: 'FieldValueInvalid', message, field }] },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** A required field that is empty. */
export function requiredField(field: string): UmiakError {
  return new UmiakError('Invalid', `${field}: must not be empty`, {
    details: { causes: [{ reason: 'FieldValueRequired', message: 'must not be empty', field }] },
  });
}
