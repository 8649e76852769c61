/** The device that wrote a FIT file, in words: `Garmin Edge 820`. The names come from fit-file-parser's profile, which is data only. */
import { getFitGarminProductDisplayName, getFitGarminProductName, getFitManufacturerName } from 'fit-file-parser/profile';
import type { FitMessage } from './fit-message.ts';

const MANUFACTURER = 1;
const PRODUCT = 2;
const PRODUCT_NAME = 8;
const GARMIN = 1;

const inWords = (name: string): string => name.replace(/_/g, ' ').replace(/^./, (first) => first.toUpperCase());

/** Of a `file_id` message; undefined if it says nothing known. */
export function deviceName(fileId: FitMessage): string | undefined {
  const maker = fileId.number(MANUFACTURER);
  const product = fileId.number(PRODUCT);
  const named = fileId.text(PRODUCT_NAME);
  const ofGarmin =
    maker === GARMIN && product !== null ? (getFitGarminProductDisplayName(product) ?? getFitGarminProductName(product)) : null;
  const makerName = maker === null ? null : getFitManufacturerName(maker);
  const model = named ?? (ofGarmin === null ? undefined : inWords(ofGarmin));
  if (makerName === null) return model;
  const brand = inWords(makerName);
  if (model === undefined) return product === null ? brand : `${brand} (product ${product})`;
  return model.toLowerCase().startsWith(brand.toLowerCase()) ? model : `${brand} ${model}`;
}
